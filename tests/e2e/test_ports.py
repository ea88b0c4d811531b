"""A port that somebody else has: said before anything starts, with what to type, which works."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from reconciler.config.document import read_document
from tests.support.commands.error_text import assert_error
from tests.support.gateways.gateway import TestGateway, gateway_folder
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.commands.process import Ended


@pytest.fixture
def gateway() -> Iterator[TestGateway]:
    with gateway_folder("eta") as made:
        made.ok("init")
        (made.home.logs / "postgres.log").unlink()
        yield made


def port_of(gateway: TestGateway, name: str) -> int:
    port = urlsplit(read_document(gateway.home)[name].text).port
    assert port is not None
    return port


def refused_at_once(gateway: TestGateway, ended: Ended, port: int) -> str:
    """Check what is said of a port that this process has; return the command of the hint."""
    assert_error(ended, 78, f"port {port}", "Address already in use", f"pid {os.getpid()}, ")
    assert not (gateway.home.logs / "postgres.log").exists(), "nothing was started for it"
    assert gateway.processes() == {}
    command = re.search(r"(MOSAIC_CA_URL=\S+ )?mosaic federation ([^`\n]+)", ended.err)
    assert command is not None
    return command[0].strip("`")


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_a_taken_port_of_the_endpoint_is_said_at_once_and_the_gateway_moves(
    gateway: TestGateway, verb: str
) -> None:
    port = port_of(gateway, "public_url")
    with socket.create_server(("127.0.0.1", port)):
        command = refused_at_once(gateway, gateway(verb), port)

        gateway.ok(*command.removeprefix("mosaic federation ").split())
        with gateway.up(), gateway.client() as client:
            assert port_of(gateway, "public_url") != port
            assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_a_taken_port_of_step_ca_is_said_at_once_and_another_one_works(
    gateway: TestGateway, verb: str
) -> None:
    port = port_of(gateway, "ca_url")
    with socket.create_server(("127.0.0.1", port)):
        command = refused_at_once(gateway, gateway(verb), port)
        assert "step-ca cannot listen" in gateway(verb).err

        name, _, url = shlex.split(command)[0].partition("=")
        with gateway.up(**{name: url}):
            gateway.ok("ca", "status", **{name: url})
        text = gateway.home.config.read_text()
        gateway.home.config.write_text(text.replace(f":{port}", f":{urlsplit(url).port}"))
        with gateway.up():
            gateway.ok("ca", "status")
    assert gateway.processes() == {}


def test_a_step_ca_that_ends_at_its_start_tells_its_own_last_words(gateway: TestGateway) -> None:
    key = gateway.home.ca / "intermediate_ca_key"
    key.chmod(0o600)
    key.write_text("no key")

    failed = gateway("up")

    assert_error(failed, 1, "step-ca did not start: ", "intermediate_ca_key")
    assert gateway.processes() == {}


def test_ctrl_c_while_step_ca_starts_is_an_end_and_no_failure(
    gateway: TestGateway, tmp_path: Path
) -> None:
    slow = tmp_path / "step-ca"
    slow.write_text('#!/bin/sh\n[ "$1" != version ] || exec echo "0.30.2"\nexec sleep 600\n')
    slow.chmod(0o755)
    up = gateway.begin_up(PATH=f"{tmp_path}:{os.environ['PATH']}")
    wait_until(lambda: "sleep 600 " in gateway.processes().values(), "step-ca starts")

    assert up.stop(signal.SIGINT) == 0, up.output
    assert "error" not in up.output
    assert gateway.processes() == {}


def test_a_taken_port_of_the_private_listener_is_a_warning_unless_it_was_set(
    gateway: TestGateway,
) -> None:
    host, _, port = read_document(gateway.home)["private_listen"].text.rpartition(":")
    with socket.create_server((host, int(port))):
        refused = gateway("up", MOSAIC_PRIVATE_LISTEN=f"{host}:{port}")
        assert_error(refused, 78, "the private listener", f"port {port}", f"pid {os.getpid()}, ")
        assert gateway.processes() == {}
        with gateway.up() as started, gateway.client() as client:
            assert started.wait_for(f"the private listener cannot listen on {host} port {port}")
            assert client.get("/readyz").status_code == 200
    with gateway.up(), httpx.Client(base_url=f"http://{host}:{port}", trust_env=False) as private:
        assert private.get("/readyz").status_code == 200
        assert private.get("/authorize").json()["code"] == "certificate_missing"
