"""deploy/kubernetes, rendered by kubectl and judged by Kubernetes' schemas and our own rules."""

from __future__ import annotations

from importlib import metadata
from typing import Any, Final

import pytest

from reconciler.config import SETTINGS
from tests.support.project.kubernetes import (
    FOLDER,
    VERSIONS,
    containers_of,
    pods_of,
    problem_of,
    render,
)

LOGINS: Final = {
    "migrate": {"owner", "gateway", "operator", "cli"},  # it sets the passwords of the others
    "gateway": {"gateway"},
    "reconciler": {"operator"},
    "cli": {"cli"},
    "step-ca": set[str](),
}


@pytest.fixture(scope="module")
def rendered() -> list[Any]:
    return [*render(), *render(FOLDER / "cli")]


@pytest.fixture(scope="module")
def pods(rendered: list[Any]) -> dict[str, Any]:
    return pods_of(rendered)


def named(rendered: list[Any], kind: str) -> dict[str, Any]:
    return {each["metadata"]["name"]: each for each in rendered if each["kind"] == kind}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid_in_kubernetes(version: str, rendered: list[Any]) -> None:
    for document in rendered:
        if document["kind"] != "ServiceMonitor":  # the Prometheus operator's
            assert problem_of(document, version) is None, document


def test_the_schemas_refuse_what_is_none(rendered: list[Any]) -> None:
    document = named(rendered, "Deployment")["gateway"]
    document = {**document, "spec": {**document["spec"], "replica": 3}}
    assert "replica" in str(problem_of(document))


def test_all_is_in_one_namespace_where_pods_must_be_restricted(rendered: list[Any]) -> None:
    namespace = named(rendered, "Namespace")["mosaic-federation"]
    for mode in ("enforce", "audit", "warn"):
        assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
    namespaces = {each["metadata"].get("namespace") for each in rendered if each is not namespace}
    assert namespaces == {"mosaic-federation"}


def test_every_pod_is_restricted(pods: dict[str, Any]) -> None:
    """The rules of the Pod Security Standard `restricted`, and a read-only root beyond them."""
    for name, pod in pods.items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] == 1000, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, "Kubernetes' variables begin as settings do"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        for container in containers_of(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"]["drop"] == ["ALL"]
            added = context["capabilities"].get("add", [])
            assert added == (["NET_BIND_SERVICE"] if name == "step-ca" else [])
            assert container["resources"]["limits"]["memory"]
        kinds = {next(kind for kind in each if kind != "name") for each in spec["volumes"]}
        assert kinds <= {"configMap", "emptyDir", "secret"}, name


def test_each_pod_has_its_own_login_and_only_the_migration_the_owners(
    pods: dict[str, Any],
) -> None:
    secrets = {
        name: {each["secret"]["secretName"] for each in pod["spec"]["volumes"] if "secret" in each}
        for name, pod in pods.items()
    }
    logins = {
        name: {
            each.removeprefix("mosaic-login-") for each in names if each.startswith("mosaic-login-")
        }
        for name, names in secrets.items()
    }
    assert logins == LOGINS
    holders = {name for name, names in secrets.items() if "mosaic-provisioners" in names}
    assert holders == {"gateway"}, "the keys that have the CA sign"
    assert "mosaic-plan-key" not in secrets["gateway"] | secrets["reconciler"]


def test_the_settings_of_the_pods_are_settings(rendered: list[Any], pods: dict[str, Any]) -> None:
    known = {each.variable for each in SETTINGS}
    known |= {f"{each.variable}_FILE" for each in SETTINGS if each.secret}
    for name, pod in pods.items():
        for container in containers_of(pod):
            assert {each["name"] for each in container.get("env", ())} <= known, name
    for config in named(rendered, "ConfigMap").values():
        assert config["data"].keys() <= known


def test_replicas_are_spread_and_survive_the_drain_of_a_node(
    rendered: list[Any], pods: dict[str, Any]
) -> None:
    workloads = named(rendered, "Deployment") | named(rendered, "StatefulSet")
    budgets = named(rendered, "PodDisruptionBudget")
    for name, replicas in {"gateway": 3, "reconciler": 2}.items():
        assert workloads[name]["spec"]["replicas"] == replicas
        assert budgets[name]["spec"]["minAvailable"] == replicas - 1
        labels = pods[name]["metadata"]["labels"].items()
        assert budgets[name]["spec"]["selector"]["matchLabels"].items() <= labels
        spread = pods[name]["spec"]["topologySpreadConstraints"]
        assert "kubernetes.io/hostname" in {each["topologyKey"] for each in spread}
    assert workloads["step-ca"]["spec"]["replicas"] == 1


def test_checkpoints_are_on_a_volume_of_each_replica(
    rendered: list[Any], pods: dict[str, Any]
) -> None:
    (container,) = pods["reconciler"]["spec"]["containers"]
    folder = next(e["value"] for e in container["env"] if e["name"] == "MOSAIC_CHECKPOINT_DIR")
    (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == folder)
    assert "readOnly" not in mount
    (claim,) = named(rendered, "StatefulSet")["reconciler"]["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == mount["name"]


def test_tls_passes_through_to_the_gateway(rendered: list[Any], pods: dict[str, Any]) -> None:
    assert named(rendered, "Ingress") == {}
    services = named(rendered, "Service")
    published = [name for name, each in services.items() if each["spec"].get("type")]
    assert published == ["gateway"]
    (port,) = services["gateway"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "https")
    (container,) = pods["gateway"]["spec"]["containers"]
    assert {"name": "https", "containerPort": 8443} in container["ports"]


def reaches(policy: Any, pod: Any) -> bool:
    """Tell whether the selector of a policy matches a pod."""
    selector, labels = policy["spec"]["podSelector"], pod["metadata"]["labels"]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def test_the_policies_say_what_reaches_what(rendered: list[Any], pods: dict[str, Any]) -> None:
    policies = named(rendered, "NetworkPolicy")
    default = policies["default"]["spec"]
    assert default["podSelector"] == {}
    assert sorted(default["policyTypes"]) == ["Egress", "Ingress"]
    assert "ingress" not in default
    ports = {
        (name, way): sorted(
            port["port"]
            for policy in policies.values()
            if reaches(policy, pod)
            for rule in policy["spec"].get(way, ())
            for port in rule["ports"]
            if port["port"] != 53
        )
        for name, pod in pods.items()
        for way in ("ingress", "egress")
    }
    assert ports == {
        ("gateway", "ingress"): [8081, 8443],
        ("gateway", "egress"): [443, 5432, 9000],
        ("reconciler", "ingress"): [8081],
        ("reconciler", "egress"): [22, 443, 5432],
        ("step-ca", "ingress"): [9000],
        ("step-ca", "egress"): [],
        ("migrate", "ingress"): [],
        ("migrate", "egress"): [5432],
        ("cli", "ingress"): [],
        ("cli", "egress"): [5432],
    }
    (to_ca,) = policies["step-ca"]["spec"]["ingress"]
    (source,) = to_ca["from"]
    assert source == {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}


def test_prometheus_finds_every_private_listener(rendered: list[Any], pods: dict[str, Any]) -> None:
    monitor = named(rendered, "ServiceMonitor")["mosaic-federation"]["spec"]
    service = named(rendered, "Service")["private-listener"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    selected = {
        name
        for name, pod in pods.items()
        if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    }
    assert selected == {"gateway", "reconciler"}
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["authorization"]["credentials"] == {
        "name": "mosaic-private-token",
        "key": "token",
    }


def test_the_images_are_of_this_version(pods: dict[str, Any]) -> None:
    images = {each["image"] for pod in pods.values() for each in containers_of(pod)}
    version = metadata.version("mosaic-federation")
    assert images == {f"mosaic-federation:{version}", "smallstep/step-ca:0.30.2"}
