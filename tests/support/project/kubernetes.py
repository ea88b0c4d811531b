"""The manifests of deploy/kubernetes as `kubectl kustomize` renders them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import kubernetes_validate  # type: ignore[import-untyped]  # it ships no types
from ruamel.yaml import YAML

from tests.support.project.checkout import ROOT

FOLDER: Final = ROOT / "deploy" / "kubernetes"
VERSIONS: Final = ("1.29.0", "1.37.0")  # of Kubernetes
KUBECTL: Final = Path(sys.executable).with_name("kubectl")


def render(folder: Path = FOLDER) -> list[Any]:
    """Return the documents of a kustomization."""
    done = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def documents(text: str) -> list[Any]:
    """Return the documents of a text."""
    return list(YAML(typ="safe", pure=True).load_all(text))


def problem_of(document: Any, version: str = VERSIONS[0]) -> str | None:
    """Return what Kubernetes' schema says against a document, if anything."""
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return None


def pods_of(rendered: list[Any]) -> dict[str, Any]:
    """Return the template of each workload's pods, by the workload's name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in rendered
        if "template" in each.get("spec", {})
    }


def containers_of(pod: Any) -> list[Any]:
    """Return the containers of a pod in the order in which they start."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
