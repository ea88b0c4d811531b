"""A setting that is missing or wrong stops a container with exit 78, and one line names it."""

from __future__ import annotations

import pytest

from tests.compose.stack import Stack, docker, logs

IMAGE = "mosaic-federation"
PLACES = "/var/lib/mosaic"
WHOLE = {
    "MOSAIC_PUBLIC_URL": "https://alpha.gateway.test",
    "MOSAIC_DATABASE_URL": "postgresql://mosaic@nowhere/mosaic",
    "MOSAIC_CA_URL": "https://step-ca:9000",
    "MOSAIC_CA_ROOT": f"{PLACES}/trust/root_ca.crt",
    "MOSAIC_CA_PROVISIONERS": f"{PLACES}/provisioners",
    "MOSAIC_KEYRING": f"{PLACES}/keys",
    "MOSAIC_TOKEN_PEPPER_FILE": f"{PLACES}/secrets/token-pepper",
}


def run(stack: Stack, service: str, *arguments: str, **variables: str) -> tuple[int, list[str]]:
    """Run a service's image and volumes with other settings; return its exit and its lines."""
    options = [word for name, text in variables.items() for word in ("-e", f"{name}={text}")]
    done = stack.compose("run", "-T", "--rm", "--no-deps", *options, service, *arguments)
    lines = [line for line in done.err.splitlines() if line.startswith(("error", "  "))]
    return done.code, lines


@pytest.mark.parametrize(
    ("service", "variable", "text"),
    [
        ("gateway", "MOSAIC_PUBLIC_URL", "http://alpha.gateway.test"),
        ("gateway", "MOSAIC_LISTEN", "8443"),
        ("gateway", "MOSAIC_DATABASE_URL_FILE", "/run/secrets/none"),
        ("gateway", "MOSAIC_CA_UR", "https://step-ca:9000"),
        ("reconciler", "MOSAIC_DATABASE_URL_FILE", "/run/secrets/none"),
        ("init", "MOSAIC_RATE_LIMIT", "fast"),
    ],
)
def test_a_wrong_setting_is_named(stack: Stack, service: str, variable: str, text: str) -> None:
    code, lines = run(stack, service, **{variable: text})
    assert code == 78
    assert lines[0].startswith(f"error: {variable}: "), lines


@pytest.mark.parametrize("variable", sorted(WHOLE))
def test_a_missing_setting_is_named(stack: Stack, variable: str) -> None:
    given = {name: text for name, text in WHOLE.items() if name != variable}
    options = [word for name, text in given.items() for word in ("-e", f"{name}={text}")]
    container = docker("create", *options, IMAGE, "prepare", "--ca-dir", f"{PLACES}/ca").strip()
    try:
        docker("start", container)
        assert docker("wait", container).strip() == "78"
        assert logs(container).startswith(f"error: {variable}: ")
    finally:
        docker("rm", "--force", container)


def test_every_container_ends_cleanly_on_sigterm(stack: Stack) -> None:
    for service in ("gateway", "reconciler"):
        stack.ok("stop", "--timeout=15", service)
        assert set(stack.facts(service, "State.ExitCode")) == {"0"}, service
        stack.ok("start", service)
    stack.wait_healthy("gateway")


def test_nothing_runs_as_root_or_writes_to_its_root(stack: Stack) -> None:
    for service in ("gateway", "reconciler", "step-ca", "proxy", "postgres"):
        assert set(stack.facts(service, "HostConfig.ReadonlyRootfs")) == {"true"}, service
        assert set(stack.facts(service, "HostConfig.CapDrop")) == {"[ALL]"}, service
    for service in ("gateway", "reconciler"):
        assert set(stack.facts(service, "Config.User")) == {"1000:1000"}


def test_only_the_proxy_is_published_and_only_the_gateway_reaches_the_ca(stack: Stack) -> None:
    published = {
        service
        for service in ("postgres", "step-ca", "gateway", "proxy", "reconciler")
        if set(stack.facts(service, "NetworkSettings.Ports")) - {"map[]"}
        and "HostPort" in docker("inspect", *stack.containers(service))
    }
    assert published == {"proxy"}
    on_ca = docker(
        "network",
        "inspect",
        "--format={{range .Containers}}{{.Name}} {{end}}",
        f"{stack.project}_ca",
    )
    assert {name.removeprefix(f"{stack.project}_")[:-2] for name in on_ca.split()} == {
        "gateway",
        "step-ca",
    }
