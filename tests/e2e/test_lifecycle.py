"""A gateway that is killed, interrupted, started twice, and whose children die under it."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from reconciler.operations.endpoint import PROGRAM
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.gateways.gateway import TestGateway, gateway_folder
from tests.support.notices import SECRET
from tests.support.services.receiver import receiver
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def gamma() -> Iterator[TestGateway]:
    """Make a gateway with a peer and three grants; each test starts `up` itself."""
    with gateway_folder("gamma") as made:
        made.ok("init")
        grants = {name: grant_manifest(name) for name in ("one", "two", "three")}
        write(made.manifests, beta=peer_manifest(), **grants)
        made.ok("apply", "--yes")
        yield made


def everything(gateway: TestGateway) -> Any:
    return (gateway.document("grant", "list"), gateway.document("peer", "list"))


def worker_processes(gateway: TestGateway) -> list[int]:
    return [pid for pid, line in gateway.processes().items() if PROGRAM in line]


def test_after_a_kill_up_works_and_everything_is_still_there(gamma: TestGateway) -> None:
    first = gamma.start_up(MOSAIC_WORKERS="2")
    gamma.enroll("one")
    before = everything(gamma)
    first.stop(signal.SIGKILL)
    assert gamma.child("postgres"), "it was left behind"
    wait_until(lambda: not worker_processes(gamma), "who shared its endpoint ends by itself")
    assert everything(gamma) == before, "commands work with what a kill left behind"

    with gamma.up():
        assert everything(gamma) == before
        gamma.enroll("two")

    assert gamma.processes() == {}


def test_after_a_kill_of_all_of_it_up_works(gamma: TestGateway) -> None:
    running = gamma.start_up()
    gamma.enroll("three")
    before = everything(gamma)
    gamma.kill(*gamma.processes())
    running.stop()
    assert gamma.processes() == {}

    with gamma.up():
        assert everything(gamma) == before
        gamma.enroll("one")
        gamma.ok("audit", "verify")

    assert gamma.processes() == {}


def test_ctrl_c_ends_all_of_it_in_time_whatever_its_clients_do(gamma: TestGateway) -> None:
    running = gamma.start_up(MOSAIC_WORKERS="2")
    assert len(worker_processes(gamma)) == 1
    parts = urlsplit(gamma.public_url)
    assert parts.hostname is not None
    with (
        socket.create_connection((parts.hostname, parts.port or 443)) as silent,
        socket.create_connection((parts.hostname, parts.port or 443)) as raw,
        gamma.tls().wrap_socket(raw, server_hostname=parts.hostname) as held,
    ):
        held.sendall(b"GET /healthz HTTP/1.1\r\nHost: gamma\r\n\r\n")
        assert held.recv(12) == b"HTTP/1.1 200"
        held.sendall(b"POST /federation/v1/enroll HTTP/1.1\r\nHost: gamma\r\n")  # and no more
        assert silent.fileno() > 0

        code = running.stop(signal.SIGINT)

    assert code == 0, running.output
    assert "Traceback" not in running.output
    assert gamma.processes() == {}


def test_a_database_that_hangs_does_not_keep_up_from_ending(gamma: TestGateway) -> None:
    running = gamma.start_up()
    hung = [pid for pid, line in gamma.processes().items() if "postgres" in line]

    def send(number: signal.Signals) -> None:
        for pid in hung:
            with suppress(ProcessLookupError):  # PostgreSQL ends some of its own accord
                os.kill(pid, number)

    try:
        send(signal.SIGSTOP)
        code = running.stop(signal.SIGINT)
    finally:
        send(signal.SIGCONT)

    assert code == 0, running.output
    assert "Traceback" not in running.output
    wait_until(lambda: gamma.processes() == {}, "what was stopped has gone on, and ended")
    gamma.ok("audit", "verify")


def test_up_tells_its_targets_and_ends_in_time_while_one_of_them_stalls(
    gamma: TestGateway, tmp_path: Path
) -> None:
    config = gamma.cwd / ".mosaic" / "mosaic.toml"
    before = config.read_text()
    with receiver(tmp_path) as hook, receiver(tmp_path, "stalled") as stalled:
        stalled.stalled.set()
        (tmp_path / "secret").write_text(SECRET)
        tables = [
            f'[[notify]]\nname = "{name}"\nkind = "json"\nurl = "{target.url}"\n'
            f'secret_file = "{tmp_path / "secret"}"\nca_file = "{target.roots}"\n'
            for name, target in (("hook", hook), ("stalled", stalled))
        ]
        config.write_text("\n".join((before, *tables)))
        running = gamma.start_up()
        write(gamma.manifests, four=grant_manifest("four"))
        wait_until(lambda: "Applied: 1 added (1 WIDENS)" in hook.titles, "the notice")
        wait_until(lambda: stalled.received, "a request that is not answered")
        begun = time.monotonic()
        assert running.stop(signal.SIGINT) == 0
        assert time.monotonic() - begun < 10
        queues = {each["name"]: each["queue"] for each in gamma.document("notify", "list")}
        assert queues["stalled"] > queues["hook"] == 0
    config.write_text(before)


def test_a_second_up_in_the_same_home_is_refused_and_told_who_is_first(gamma: TestGateway) -> None:
    with gamma.up() as first:
        second = gamma("up")

        assert second.code == 1
        assert f"(pid {first.process.pid})" in second.err
        assert f"`kill {first.process.pid}`" in second.err
        assert "WARNING" not in second.err, "its ports are taken too, which explains nothing"
        assert "Traceback" not in second.err
        with gamma.client() as client:
            assert client.get("/readyz").status_code == 200


def test_commands_work_while_up_runs_and_while_it_does_not(gamma: TestGateway) -> None:
    assert gamma.processes() == {}
    commands = (("grant", "list"), ("peer", "list"), ("plan",), ("keys", "status"))

    def all_of_them() -> list[Any]:
        gamma.ok("apply", "--yes")
        gamma.ok("db", "check")
        gamma.ok("audit", "verify")
        return [gamma.document(*each) for each in commands]

    without = all_of_them()
    with gamma.up():
        assert all_of_them() == without
        gamma.ok("ca", "status")
    assert gamma.processes() == {}


@pytest.mark.parametrize("program", ["postgres", "step-ca"])
def test_a_child_that_dies_under_up_is_started_again(gamma: TestGateway, program: str) -> None:
    with gamma.up() as running:
        killed = gamma.child(program)
        gamma.kill(killed)
        wait_until(lambda: _enrolls(gamma, "three"), "an enrollment goes on")

        assert gamma.child(program) != killed
        assert "Traceback" not in running.output

    assert gamma.processes() == {}


def test_a_removal_from_git_revokes_within_seconds_and_the_ca_says_so(gamma: TestGateway) -> None:
    with gamma.up():
        serial = gamma.enroll("three")
        (gamma.manifests / "three.yaml").unlink()

        wait_until(lambda: gamma.grant("three")["status"] == "revoked", "it is revoked")
        wait_until(lambda: serial in gamma.revoked_serials(), "the list names it")
        write(gamma.manifests, three=grant_manifest("three"))
        wait_until(lambda: gamma.grant("three")["status"] == "pending", "it is new")


def test_the_loop_undoes_neither_a_suspension_nor_a_revocation(gamma: TestGateway) -> None:
    with gamma.up():
        gamma.enroll("one")
        gamma.ok("grant", "suspend", "one", "--reason", "a doubt")
        gamma.ok("grant", "revoke", "two", "--yes", "--reason", "no doubt")

        write(gamma.manifests, three=grant_manifest("three", rows=77))
        wait_until(lambda: gamma.grant("three")["scope"]["maxRowsPerQuery"] == 77, "a pass")
        held = {"one": "suspended", "two": "revoked", "three": "pending"}
        assert held.items() <= _statuses(gamma).items()

    gamma.ok("apply", "--yes")
    assert held.items() <= _statuses(gamma).items()


def _statuses(gateway: TestGateway) -> dict[str, str]:
    """Return the status of each name; of a name's rows the live one is the last."""
    return {row["name"]: row["status"] for row in gateway.document("grant", "list")}


def _enrolls(gateway: TestGateway, grant: str) -> bool:
    try:
        gateway.enroll(grant)
    except (AssertionError, httpx.HTTPError):
        return False
    return True
