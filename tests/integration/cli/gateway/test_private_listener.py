"""The private listener of each verb that has one: its address, its token, its probes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, write
from tests.support.database.server import database_server
from tests.support.gateways.certified import certify
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN: Final = "0123456789abcdef"


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), one=grant_manifest("one"))
    made.ok("apply", "manifests", "--yes")
    return made


@dataclass
class Process:
    """A verb that runs, and a client of its private listener."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path
    port: int = field(default=0)

    def status(self, path: str, **headers: str) -> int:
        """Return the status of an answer, 0 if there is none."""
        with suppress(httpx.TransportError):
            return self.client.get(path, headers=headers).status_code
        return 0

    def end(self) -> int:
        """End it as a supervisor does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running(mosaic: Quick, listen: str, *arguments: str, **variables: str) -> Iterator[Process]:
    """Run a verb until the block ends; it answers on its private listener when the block begins."""
    with started(mosaic, listen, arguments, variables) as made:
        yield made


@contextmanager
def started(
    mosaic: Quick,
    listen: str,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    stdout: int | None = None,
) -> Iterator[Process]:
    """Run a verb as `running` does, with another standard output than the log."""
    path = listen.removeprefix("unix:")
    uds = str(mosaic.cwd / path) if path != listen else None
    url = "http://localhost" if uds else f"http://{listen}"
    transport = httpx.HTTPTransport(uds=uds)
    log = mosaic.cwd / "log"
    with (
        httpx.Client(base_url=url, transport=transport, timeout=PATIENCE_S) as client,
        log.open("wb") as output,
        subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=mosaic.cwd,
            env=mosaic.environ({"MOSAIC_PRIVATE_LISTEN": listen, **variables}),
            stdin=subprocess.DEVNULL,
            stdout=output if stdout is None else stdout,
            stderr=output,
        ) as process,
    ):
        made = Process(process, client, log)

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            if uds and not _takes_connections(uds):  # httpx would leave a socket behind
                return False
            return made.status("/livez") == 200

        try:
            wait_until(answers, "the private listener answers")
            yield made
        finally:
            if process.poll() is None:
                process.kill()


def _takes_connections(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def address() -> str:
    return f"127.0.0.1:{free_port()}"


def test_authority_answers_alone_and_ends_with_0(mosaic: Quick) -> None:
    certificate = certify(mosaic.rows, "one")
    token = mosaic.cwd / "token"
    token.write_text(f"{TOKEN}\n")
    variables = {"MOSAIC_PRIVATE_TOKEN_FILE": "token", "MOSAIC_PRIVATE_HOSTS": "a.example"}
    with running(mosaic, address(), "authority", **variables) as process:
        wait_until(lambda: process.status("/readyz") == 200, "it is ready")
        headers = certificate.headers()
        assert process.status("/authorize", **headers) == 401
        assert process.status("/authorize", **headers, Authorization=f"Bearer {TOKEN}") == 200
        assert process.status("/x", Host="b.example") == 421
        assert process.status("/x", Host="a.example", Authorization=f"Bearer {TOKEN}") == 404
        assert process.status("/metrics", Host="a.example") == 401
        assert process.status("/metrics", Authorization=f"Bearer {TOKEN}") == 200
        assert process.end() == 0
        log = process.log.read_text()
        assert "ready: http://127.0.0.1:" in log
        assert TOKEN not in log
        assert "Traceback" not in log
    assert mosaic.grant("one")["certificates"][0]["use"]["count"] == 1


def test_authority_listens_on_a_path_that_a_killed_one_left(mosaic: Quick) -> None:
    with running(mosaic, "unix:private.sock", "authority") as process:
        taken = mosaic("authority", MOSAIC_PRIVATE_LISTEN="unix:private.sock")
        assert taken.code == 78
        assert "private.sock: Address already in use" in taken.err
        process.process.kill()
        process.process.wait(PATIENCE_S)
    assert (mosaic.cwd / "private.sock").exists()
    with running(mosaic, "unix:private.sock", "authority") as process:
        assert process.end() == 0
    assert not (mosaic.cwd / "private.sock").exists()


def test_authority_goes_on_though_nobody_reads_what_it_prints(mosaic: Quick) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with started(mosaic, "unix:private.sock", ("authority",), {}, writer) as process:
            wait_until(lambda: process.status("/readyz") == 200, "it is ready")
            assert process.end() == 0
            assert "rror" not in process.log.read_text()
    finally:
        os.close(writer)


@pytest.mark.parametrize("verb", ["authority", "run"])
@pytest.mark.parametrize(
    ("listen", "token", "message"),
    [
        ("0.0.0.0:8500", None, "0.0.0.0 is reachable from other machines, and no token is set"),
        ("192.0.2.1:8500", None, "192.0.2.1 is reachable from other machines"),
        ("alpha.example:8500", None, "alpha.example is reachable from other machines"),
        ("0.0.0.0:8500", "missing", "the token cannot be read: No such file"),
        ("0.0.0.0:8500", "short", "expected one token of 16 characters or more"),
        ("192.0.2.1:8500", "good", "cannot listen on 192.0.2.1 port 8500"),
        ("127.0.0.1", None, "MOSAIC_PRIVATE_LISTEN: got '127.0.0.1': expected host:port"),
        ("unix:", None, "MOSAIC_PRIVATE_LISTEN: got 'unix:': expected a path"),
        (
            "unix:/proc/missing/private.sock",
            None,
            "private.sock: No such file or directory\n  name a path in an existing folder: private",
        ),
        ("unix:good", None, "good: Address already in use"),  # a file that is no socket
        (f"unix:{'a' * 200}", None, "AF_UNIX path too long"),
    ],
)
def test_what_cannot_be_listened_on_is_78(
    mosaic: Quick, verb: str, listen: str, token: str | None, message: str
) -> None:
    for name, text in {"short": "0123456789", "good": TOKEN}.items():
        (mosaic.cwd / name).write_text(text)
    variables = {"MOSAIC_PRIVATE_LISTEN": listen, "MOSAIC_SOURCE": "manifests"}
    if token is not None:
        variables["MOSAIC_PRIVATE_TOKEN_FILE"] = token
    ended = mosaic(verb, **variables)
    assert (ended.code, message in ended.err) == (78, True), ended.err
    assert (mosaic.cwd / "good").read_text() == TOKEN


def test_authority_without_an_address_or_a_current_view_is_78(
    mosaic: Quick, empty_database_url: str
) -> None:
    ended = mosaic("authority")
    assert (ended.code, "MOSAIC_PRIVATE_LISTEN: it is not set" in ended.err) == (78, True)
    variables = {"MOSAIC_DATABASE_URL": empty_database_url, "MOSAIC_PRIVATE_LISTEN": address()}
    ended = mosaic("authority", **variables)
    assert (ended.code, "no current schema" in ended.err) == (78, True), ended.err


def test_an_address_of_the_environment_that_is_taken_is_78(mosaic: Quick) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        for verb in ("authority", "run"):
            ended = mosaic(verb, MOSAIC_PRIVATE_LISTEN=listen, MOSAIC_SOURCE="manifests")
            assert (ended.code, "Address already in use" in ended.err) == (78, True), ended.err
            assert f"pid {os.getpid()}" in ended.err


def test_run_is_ready_while_its_passes_end(mosaic: Quick) -> None:
    """A pass that applies nothing, because a manifest is invalid, has ended too."""
    source = ("run", "--source", "manifests", "--poll", "1s")
    with running(mosaic, address(), *source) as process:
        wait_until(lambda: process.status("/readyz") == 200, "a pass has ended")
        write(mosaic.cwd / "manifests", broken="kind: Nothing\n")
        wait_until(lambda: b"nothing is applied" in process.log.read_bytes(), "a pass has failed")
        assert process.status("/readyz") == 200
        assert process.status("/authorize") == 404
        assert process.status("/") == 200
        metrics = process.client.get("/metrics").text
        assert 'requests_total{route="pages",status="200"} 1.0' in metrics
        for text in ('passes_total{code="",result="', 'code="manifest_invalid",result="failed"}'):
            assert text in metrics
        assert "mosaic_database_up 1.0" in metrics
        assert process.end() == 0


def test_without_the_database_readyz_is_503_within_5_s_and_authorize_denies(
    tmp_path: Path,
) -> None:
    """Whether the server hangs or is away; and both are well again once it is back."""
    with database_server() as server:
        mosaic = shell(tmp_path, server.url())
        mosaic.ok("db", "upgrade")
        rows = Rows(server.url())
        rows.apply(peer_manifest(), grant_manifest("one"))
        headers = certify(rows, "one").headers()
        with running(mosaic, address(), "authority") as process:
            wait_until(lambda: process.status("/readyz") == 200, "it is ready")
            assert server.process is not None
            for pid in (backends := _backends(server.process.pid)):
                os.kill(pid, signal.SIGSTOP)
            try:
                for path in ("/readyz", "/authorize"):
                    answer = process.client.get(path, headers=headers)
                    assert (answer.status_code, answer.json()["code"]) == (
                        503,
                        "database_unavailable",
                    )
                    assert answer.elapsed.total_seconds() < 5
            finally:
                for pid in backends:
                    os.kill(pid, signal.SIGCONT)
            server.stop()
            assert process.status("/readyz") == 503
            assert process.status("/authorize", **headers) == 503
            assert process.status("/livez") == 200
            server.start()
            wait_until(lambda: process.status("/readyz") == 200, "it is ready again")
            assert process.status("/authorize", **headers) == 200
            assert process.end() == 0


def _backends(postmaster: int) -> list[int]:
    """Return the processes of a server, the first one last."""
    children = subprocess.run(
        ["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=True
    )
    return [*map(int, children.stdout.split()), postmaster]
