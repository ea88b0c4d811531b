"""What lasts: whatever is killed, removed or made anew, a gateway goes on where it was."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from reconciler.crypto.certificates import read_certificate, read_crl, split_pem
from tests.compose.peer import invited
from tests.compose.stack import LONG_RUNNING, Stack, docker, wait_until
from tests.support.project.checkout import ROOT

ASK_CA: Final = Path(__file__).with_name("ask_ca.py")
ROWS: Final = " UNION ALL ".join(
    f"SELECT json_agg(json_build_array({columns}) ORDER BY id)::text FROM federation_{table}"
    for table, columns in (
        ("peers", "id, name, status"),
        ("grants", "id, name, status, expires_at"),
        ("certificates", "id, grant_id, serial, status, fingerprint"),
    )
)


@dataclass(frozen=True)
class Facts:
    """What must be the same after whatever was done to the containers."""

    root: str
    revoked: frozenset[str]
    rows: str
    other_rows: str


def revoked_at_ca(stack: Stack) -> frozenset[str]:
    """Return the serials on the list that step-ca itself gives to a gateway."""
    result = docker("exec", stack.containers("gateway")[0], "python3", "-c", ASK_CA.read_text())
    crl, *issuers = json.loads(result)
    return frozenset(read_crl(bytes.fromhex(crl), issuers[0]).serials)


def facts(stack: Stack) -> Facts:
    return Facts(
        stack.root(), revoked_at_ca(stack), stack.sql("alpha", ROWS), stack.sql("beta", ROWS)
    )


def goes_on(stack: Stack, name: str) -> None:
    """Declare a grant, enroll, pick up and revoke, and see all of it where it has to be seen."""
    peer = invited(stack, [name])[name]
    issued = peer.enroll()
    again = peer.pickup()
    assert again.status_code == 200, again.text
    assert again.json() == issued
    stack.document("alpha", "grant", "revoke", name, "--yes")
    wait_until(lambda: issued["serial"] in revoked_at_ca(stack), f"{name} on the CA's list")
    assert peer.pickup().json()["code"] == "grant_ended"


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_a_service_that_is_killed_comes_back_as_it_was(stack: Stack, service: str) -> None:
    before = facts(stack)
    stack.kill(service)
    stack.wait_healthy("postgres", "step-ca", "gateway", "proxy")
    assert facts(stack) == before
    goes_on(stack, f"after-{service}")


def test_a_new_container_of_step_ca_is_the_same_ca(stack: Stack) -> None:
    before = facts(stack)
    stack.ok("rm", "--stop", "--force", "step-ca")
    stack.ok("up", "--detach", "step-ca")
    stack.wait_healthy("step-ca")
    assert facts(stack) == before
    goes_on(stack, "after-removal")


def test_ten_enroll_once_each_while_every_service_is_restarted(stack: Stack) -> None:
    invitation = invited(stack, [f"one-of-ten-{n}" for n in range(10)])
    restarting = threading.Thread(target=restart_all, args=(stack,))
    restarting.start()
    with ThreadPoolExecutor(10) as pool:
        started = {}
        for name, peer in invitation.items():
            started[name] = pool.submit(peer.enroll)
            time.sleep(2)
        issued = {name: each.result() for name, each in started.items()}
    restarting.join()
    stack.wait_healthy("proxy")
    rows = stack.sql(
        "alpha",
        "SELECT json_agg(json_build_array(g.name, g.status, c.serial)) FROM federation_grants g"
        " JOIN federation_certificates c ON c.grant_id = g.id AND c.status = 'issued'"
        " WHERE g.name LIKE 'one-of-ten-%'",
    )
    held = sorted((name, status, serial) for name, status, serial in json.loads(rows))
    assert held == sorted((name, "active", each["serial"]) for name, each in issued.items())
    for name, each in issued.items():
        assert read_certificate(each["certificate"]).serial == each["serial"], name


def restart_all(stack: Stack) -> None:
    for service in LONG_RUNNING:
        stack.ok("restart", "--timeout=10", service)
        time.sleep(1)


def test_down_and_up_keeps_everything(stack: Stack) -> None:
    """As docs/deploy.md says it: the root's key goes offline, and a backup is made between."""
    before = facts(stack)
    assert len(split_pem(before.root)) == 1
    stack.type(*documented("Taking the root key offline"))
    assert "PRIVATE KEY" in (stack.folder / "root_ca_key").read_text()
    backup, _ = documented("Backing up")
    stack.type(backup)
    stack.wait_healthy("proxy")
    assert facts(stack) == before
    goes_on(stack, "after-down")
    stack.type("docker compose run --rm cli audit verify")


def documented(heading: str) -> list[str]:
    """Return the blocks of commands below a heading of docs/deploy.md."""
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
