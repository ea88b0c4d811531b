"""Each container of deploy/kubernetes, run as it is rendered: command line, files and probes."""

from __future__ import annotations

import json
import re
import secrets
import ssl
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from reconciler.core.issuance.invitation import parse_invitation
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from tests.compose.pods import Cluster
from tests.compose.stack import UP_S, docker, program, wait_until
from tests.support.commands.process import COMMAND
from tests.support.project.checkout import ROOT
from tests.support.project.kubernetes import (
    FOLDER,
    containers_of,
    documents,
    pods_of,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE: Final = "mosaic-federation"
PROBES: Final = frozenset({"livenessProbe", "readinessProbe"})
SETTINGS: Final = {
    "MOSAIC_PUBLIC_URL": "https://gateway.alpha.example",
    "MOSAIC_CA_URL": "https://step-ca:9000",
    "MOSAIC_CA_ROOT": "trust/root_ca.crt",
    "MOSAIC_CA_PROVISIONERS": "provisioners",
    "MOSAIC_KEYRING": "keys",
    "MOSAIC_TOKEN_PEPPER_FILE": "pepper/token-pepper",
}


@dataclass(frozen=True)
class Running:
    """The containers of a cluster, as a project of the engine."""

    cluster: Cluster
    project: str

    @property
    def file(self) -> Path:
        return self.cluster.folder / "docker-compose.yml"

    def compose(self, *arguments: str) -> str:
        words = [*program(), "--project-name", self.project, "--file", str(self.file), *arguments]
        done = subprocess.run(words, capture_output=True, text=True, timeout=UP_S, check=False)
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout

    def logs(self) -> str:
        words = [*program(), "--project-name", self.project, "--file", str(self.file), "logs"]
        return subprocess.run(
            [*words, "--no-color", "--tail=20"], capture_output=True, text=True, check=False
        ).stdout

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, those that have ended included."""
        labels = {"project": self.project, "service": service}
        filters = [f"--filter=label=com.docker.compose.{k}={v}" for k, v in labels.items()]
        return docker("ps", "--all", "--quiet", *filters).split()

    def url(self, container: str, port: int, scheme: str) -> str:
        """Return where a port of a container is published."""
        return f"{scheme.lower()}://{docker('port', container, str(port)).split()[0]}"

    def cli(self, *arguments: str) -> Any:
        """Run a command in the pod of the command line; return what it prints as JSON."""
        (container,) = self.containers("cli.cli")
        words = ("mosaic", "federation", *arguments, "--output", "json")
        return json.loads(docker("exec", container, *words))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("kubernetes")
    for each in (folder, folder.parent, folder.parent.parent):
        each.chmod(0o755)
    password = secrets.token_hex(16)
    owner_url = f"postgresql://mosaic:{password}@postgres:5432/mosaic"
    prepared = subprocess.run(
        [*COMMAND, "prepare", "--ca-dir", "ca", "--output", "k8s-secrets"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **SETTINGS, "MOSAIC_DATABASE_URL": owner_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert prepared.returncode == 0, prepared.stderr
    manifests = {
        file.name: file.read_text() for file in sorted((ROOT / "manifests").glob("*.yaml"))
    }
    mounted = {"kind": "ConfigMap", "metadata": {"name": "mosaic-manifests"}, "data": manifests}
    rendered = [*render(), *render(FOLDER / "cli"), *documents(prepared.stdout), mounted]
    made = Running(Cluster(folder / "volumes", rendered), f"mosaic-{secrets.token_hex(4)}")
    images = {each["image"] for pod in pods_of(rendered).values() for each in containers_of(pod)}
    (image,) = (each for each in images if each.startswith(IMAGE))
    docker("tag", IMAGE, image)
    services = made.cluster.services() | {"postgres": database(password)}
    made.file.write_text(json.dumps({"services": services}))
    try:
        made.compose("up", "--detach")
        yield made
    except BaseException:
        sys.stderr.write(made.logs())
        raise
    finally:
        made.compose("down", "--volumes")
        docker("rmi", image)


def database(password: str) -> dict[str, Any]:
    return {
        "image": "postgres:17-bookworm",
        "environment": {
            "POSTGRES_USER": "mosaic",
            "POSTGRES_DB": "mosaic",
            "POSTGRES_PASSWORD": password,
        },
        "healthcheck": {
            "test": ["CMD", "pg_isready", "--quiet", "--host=127.0.0.1", "--username=mosaic"],
            "interval": "1s",
            "retries": 60,
        },
    }


def passes(running: Running, container: str, probe: Any, ports: dict[str, int]) -> bool:
    """Tell whether a probe succeeds now, as the kubelet does it."""
    if "exec" in probe:
        words = ["docker", "exec", container, *probe["exec"]["command"]]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    get = probe["httpGet"]
    port = ports[get["port"]]
    try:
        url = running.url(container, port, get.get("scheme", "HTTP"))
        with httpx.Client(verify=False, trust_env=False, timeout=probe["timeoutSeconds"]) as client:
            return client.get(url + get["path"]).is_success
    except (httpx.TransportError, AssertionError, IndexError):  # it is not there yet
        return False


def test_every_container_runs_and_its_probes_succeed(running: Running) -> None:
    tried = set()
    for name, pod in pods_of(running.cluster.documents).items():
        for container in pod["spec"]["containers"]:
            service = running.cluster.service(name, container)
            ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
            for kind in PROBES & container.keys():
                await_probe(running, service, container[kind], ports)
                tried.add((name, kind))
    assert tried == {
        *((name, kind) for name in ("gateway", "reconciler", "step-ca") for kind in PROBES),
        ("cli", "readinessProbe"),
    }
    for service in ("migrate.schema", "migrate.roles", "gateway.keys"):
        for each in running.containers(service):
            assert docker("inspect", "--format={{.State.ExitCode}}", each).strip() == "0"


def await_probe(running: Running, service: str, probe: Any, ports: dict[str, int]) -> None:
    """Wait until a probe succeeds on every replica of a service."""

    def succeeds() -> bool:
        return all(passes(running, each, probe, ports) for each in running.containers(service))

    wait_until(succeeds, f"{probe} of {service}")


def test_a_peer_enrolls_by_the_manifests_of_a_config_map(running: Running) -> None:
    wait_until(
        lambda: (
            {each["name"] for each in running.cli("grant", "list")} == {"beta-events", "beta-tasks"}
        ),
        "the manifests are applied",
    )
    url = running.cli("grant", "invite", "beta-tasks")["invitation"]["url"]
    token = parse_invitation(url).token
    root = running.cluster.contents("Secret", "mosaic-trust")["root_ca.crt"].decode()
    tls = ssl.create_default_context(cadata=root)
    tls.check_hostname = False  # here it is reached by the published port
    address = running.url(running.containers("gateway.gateway")[0], 8443, "https")
    with httpx.Client(base_url=address, verify=tls, trust_env=False, timeout=20) as client:
        answer = client.post(
            "/federation/v1/enroll",
            json={"csr": make_csr(generate_key())},
            headers={"Authorization": f"Bearer {token.spelled()}"},
        )
    assert answer.status_code == 201, answer.text
    grants = {each["name"]: each["status"] for each in running.cli("grant", "list")}
    assert grants["beta-tasks"] == "active"


def test_the_next_generation_of_the_config_map_is_applied(running: Running) -> None:
    files = running.cluster.contents("ConfigMap", "mosaic-manifests")
    files.pop("beta-events.yaml")
    running.cluster.publish("reconciler", "manifests", files)
    wait_until(
        lambda: (
            {each["name"]: each["status"] for each in running.cli("grant", "list")}["beta-events"]
            == "revoked"
        ),
        "the grant is revoked",
    )


def test_the_private_listener_opens_for_the_token_of_prometheus(running: Running) -> None:
    token = running.cluster.contents("Secret", "mosaic-private-token")["token"].decode()
    for service in ("gateway.gateway", "reconciler.reconciler"):
        for container in running.containers(service):
            url = running.url(container, 8081, "http")
            with httpx.Client(base_url=url, trust_env=False) as client:
                assert client.get("/metrics").status_code == 401
                headers = {"Authorization": f"Bearer {token}"}
                assert client.get("/metrics", headers=headers).status_code == 200


def test_a_pod_knows_its_versions(running: Running) -> None:
    versions = running.cli("version")
    assert re.fullmatch("[0-9a-f]{40}", versions["commit"])
    assert versions["version"] == metadata.version("mosaic-federation")
    assert versions["stepCa"] is None, "it is in another pod"
    assert versions["postgresql"]["server"]


def test_pods_end_cleanly_on_sigterm(running: Running) -> None:
    services = ("gateway.gateway", "reconciler.reconciler")
    running.compose("stop", *services)
    for service in services:
        for container in running.containers(service):
            assert docker("inspect", "--format={{.State.ExitCode}}", container).strip() == "0"
