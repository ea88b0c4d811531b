"""`doctor` on a gateway that runs, on one that does not, and on one that was broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.gateways import TestGateway


def states(findings: list[dict[str, Any]]) -> dict[str, str]:
    return {each["check"]: each["state"] for each in findings}


def test_a_gateway_that_runs_is_well(alpha: TestGateway) -> None:
    found = alpha("doctor", "--output", "json")
    assert found.code == 0
    assert set(states(found.document).values()) == {"ok"}, found.out


def test_what_is_broken_is_told_with_what_to_do(gateway: TestGateway) -> None:
    stopped = gateway("doctor", "--output", "json")
    assert stopped.code == 0, "that it does not run now is a warning"
    warned = {name for name, state in states(stopped.document).items() if state != "ok"}
    assert warned == {"CA", "endpoint"}

    pepper = gateway.home.token_pepper
    pepper.chmod(0o600)
    pepper.write_text("no pepper")
    (gateway.manifests / "empty.yaml").write_text("")
    broken = gateway("doctor")
    assert broken.code == 1
    assert "failed   token pepper" in broken.out
    assert "-> restore it from its backup" in broken.out
    assert "failed   source" in broken.out
