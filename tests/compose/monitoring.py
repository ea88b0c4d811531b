"""Prometheus beside the gateway, as compose/monitoring/ brings it up: it scrapes every replica.

It comes last: gateways that are made anew have other addresses, and the proxy keeps the old ones.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.compose.stack import USER, Stack, wait_until
from tests.support.ports import free_port
from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE: Final = ROOT / "compose" / "monitoring" / "docker-compose.monitoring.yml"


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> Iterator[httpx.Client]:
    """Add Prometheus to alpha, and give what asks it."""
    token = stack.folder / "alpha-secrets" / "private-token"
    token.write_text(secrets.token_urlsafe(32))
    os.chown(token, USER, USER)
    port = free_port()
    file = ("--file", str(FILE))
    try:
        up = stack.compose(
            *file, "up", "--detach", "--no-deps", "gateway", "reconciler", "prometheus",
            MOSAIC_PROMETHEUS_PORT=str(port),
        )  # fmt: skip
        assert up.code == 0, up.err
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        stack.compose(*file, "down", "--volumes", "--timeout=20")


def ask(prometheus: httpx.Client, path: str, **query: str) -> Any:
    """Return the data of an answer; nothing as long as there is none."""
    try:
        answer = prometheus.get(path, params=query)
    except httpx.TransportError:
        return {}
    return answer.json()["data"] if answer.status_code == 200 else {}


def test_every_replica_is_scraped_and_every_rule_is_evaluated(
    stack: Stack, prometheus: httpx.Client
) -> None:
    replicas = len(stack.containers("gateway")) + len(stack.containers("reconciler"))

    def scraped() -> bool:
        targets = ask(prometheus, "/api/v1/targets").get("activeTargets", ())
        return [each["health"] for each in targets] == ["up"] * replicas

    wait_until(scraped, "every replica to be scraped")

    def evaluated() -> bool:
        groups = ask(prometheus, "/api/v1/rules").get("groups", ())
        rules = [rule for group in groups for rule in group["rules"]]
        return bool(rules) and {rule["health"] for rule in rules} == {"ok"}

    wait_until(evaluated, "every rule to be evaluated")
    names = {
        sample["metric"]["__name__"]
        for sample in ask(prometheus, "/api/v1/query", query='{__name__=~"mosaic_.+"}')["result"]
    }
    assert {"mosaic_build_info", "mosaic_grants", "mosaic_reconcile_passes_total"} <= names
