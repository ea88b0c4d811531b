"""Messages to the service manager: where they go, and what becomes of those that cannot."""

from __future__ import annotations

import logging
import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.service_manager import ServiceManager
from tests.support.services.service_manager import Manager

if TYPE_CHECKING:
    from pathlib import Path


def test_a_message_is_one_datagram(tmp_path: Path) -> None:
    manager = Manager(tmp_path / "notify")
    ServiceManager(str(manager.path)).notify("READY=1", "STATUS=bereit für alle")
    assert manager.received() == ["READY=1", "STATUS=bereit für alle"]
    manager.close()


def test_a_socket_of_the_abstract_namespace_is_reached() -> None:
    name = f"mosaic-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        ServiceManager(f"@{name}").notify("READY=1")
        assert receiver.recv(100) == b"READY=1"


def test_without_a_manager_nothing_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager.of({}, 1).notify("READY=1")
    assert caplog.records == []


@pytest.mark.parametrize("path", ["/nowhere/notify", "/tmp", "@" + "x" * 200])
def test_a_manager_that_cannot_be_reached_is_a_warning(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ServiceManager(path).notify("READY=1")
    assert "takes no message at NOTIFY_SOCKET" in caplog.text


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_that_of_this_process(
    variables: dict[str, str], seconds: int | None
) -> None:
    manager = ServiceManager.of({"NOTIFY_SOCKET": "/run/notify", **variables}, pid=7)
    assert manager.watchdog == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("path", ["", "notify", "vsock:2:1"])
def test_an_address_of_another_kind_is_none(path: str) -> None:
    assert ServiceManager.of({"NOTIFY_SOCKET": path}, 1) == ServiceManager()
