"""Rendered Kubernetes manifests as services of Compose: what a kubelet does, on one machine.

Volumes of Secrets and ConfigMaps are laid out as the kubelet lays them out: links through `..data`
into a folder of one generation, owned by root, and read by the pod's group.
"""

from __future__ import annotations

import base64
import os
import shutil
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from tests.support.project.kubernetes import containers_of, pods_of

if TYPE_CHECKING:
    from pathlib import Path

GROUP: Final = 1000
MOST_REPLICAS: Final = 2
DONE: Final = "service_completed_successfully"


@dataclass(frozen=True)
class Cluster:
    """Rendered documents, with the Secrets and ConfigMaps that they mount, and their folders."""

    folder: Path
    documents: list[Any]

    def contents(self, kind: str, name: str) -> dict[str, bytes]:
        """Return what a Secret or a ConfigMap holds."""
        (document,) = (
            each
            for each in self.documents
            if (each["kind"], each["metadata"]["name"]) == (kind, name)
        )
        if kind == "Secret":
            return {key: base64.b64decode(text) for key, text in document["data"].items()}
        return {key: text.encode() for key, text in document["data"].items()}

    def services(self) -> dict[str, Any]:
        """Return a service of Compose for each container of each pod."""
        made: dict[str, Any] = {}
        for name, pod in pods_of(self.documents).items():
            sources = {each["name"]: self._volume(name, each) for each in pod["spec"]["volumes"]}
            for claim in self._workload(name)["spec"].get("volumeClaimTemplates", ()):
                volume = {"name": claim["metadata"]["name"]}
                sources[volume["name"]] = self._volume(name, volume)
            containers = containers_of(pod)
            for container in containers:
                made[self.service(name, container)] = self._service(pod, name, container, sources)
            for before, after in pairwise(containers):
                waits = made[self.service(name, after)].setdefault("depends_on", {})
                waits[self.service(name, before)] = {"condition": DONE}
        return made

    @staticmethod
    def service(pod: str, container: Any) -> str:
        """Return the name of a container's service."""
        return f"{pod}.{container['name']}"

    def publish(self, pod: str, volume: str, files: dict[str, bytes]) -> None:
        """Make these the files of a volume, all at once, as the kubelet does."""
        folder = self.folder / pod / volume
        folder.mkdir(parents=True, exist_ok=True)
        _own(folder, 0o3777)
        generation = folder / f"..{len(list(folder.iterdir()))}"
        generation.mkdir()
        _own(generation, 0o2755)
        for name, content in files.items():
            (generation / name).write_bytes(content)
            _own(generation / name, 0o440)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        (folder / "..data_tmp").symlink_to(generation.name)
        (folder / "..data_tmp").rename(folder / "..data")
        for link in folder.iterdir():
            if not link.exists():  # of a file that is gone
                link.unlink()
        for old in folder.iterdir():
            if old.name.startswith("..") and not old.is_symlink() and old != generation:
                shutil.rmtree(old)

    def _workload(self, name: str) -> Any:
        return next(
            each
            for each in self.documents
            if each["metadata"]["name"] == name and "template" in each.get("spec", {})
        )

    def _volume(self, pod: str, volume: Any) -> Path:
        folder: Path = self.folder / pod / volume["name"]
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o400  # the group may read it, by fsGroup
            self.publish(
                pod, volume["name"], self.contents("Secret", volume["secret"]["secretName"])
            )
        elif "configMap" in volume:
            self.publish(
                pod, volume["name"], self.contents("ConfigMap", volume["configMap"]["name"])
            )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _own(folder, 0o2777)
        return folder

    def _service(
        self, pod: Any, name: str, container: Any, sources: dict[str, Path]
    ) -> dict[str, Any]:
        context, user = container["securityContext"], pod["spec"]["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        service: dict[str, Any] = {
            "image": container["image"],
            "user": f"{user['runAsUser']}:{user['runAsGroup']}",
            "group_add": [str(user["fsGroup"])],
            "read_only": context["readOnlyRootFilesystem"],
            "cap_drop": context["capabilities"]["drop"],
            "cap_add": context["capabilities"].get("add", []),
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": container["resources"]["limits"]["memory"].replace("Mi", "m"),
            "environment": self._environment(container),
            "volumes": [_mount(each, sources) for each in container["volumeMounts"]],
            "ports": [f"127.0.0.1::{each['containerPort']}" for each in container.get("ports", ())],
            "networks": {"default": {"aliases": [name]}},
            "restart": "on-failure",
            "stop_grace_period": f"{pod['spec'].get('terminationGracePeriodSeconds', 30)}s",
            "healthcheck": {"disable": True},  # a kubelet knows none
            "scale": min(MOST_REPLICAS, self._workload(name)["spec"].get("replicas", 1)),
        }
        for ours, theirs in (("command", "entrypoint"), ("args", "command")):
            if ours in container:
                service[theirs] = [word.replace("$", "$$") for word in container[ours]]
        if name == "migrate":
            service["depends_on"] = {"postgres": {"condition": "service_healthy"}}
        elif name != "step-ca":  # a kubelet starts them until the job is done
            service["depends_on"] = {"migrate.roles": {"condition": DONE}}
        return service

    def _environment(self, container: Any) -> dict[str, str]:
        values: dict[str, str] = {}
        for each in container.get("envFrom", ()):
            for key, content in self.contents("ConfigMap", each["configMapRef"]["name"]).items():
                values[key] = content.decode()
        return values | {each["name"]: each["value"] for each in container.get("env", ())}


def _mount(mount: Any, sources: dict[str, Path]) -> str:
    source = sources[mount["name"]]
    if "subPath" in mount:
        source = (source / mount["subPath"]).resolve()
    return f"{source}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"


def _own(path: Path, mode: int) -> None:
    os.chown(path, 0, GROUP)
    path.chmod(mode)
