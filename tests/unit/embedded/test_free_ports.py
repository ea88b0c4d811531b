"""Ports that `init` chooses: none that another gateway has, whether it runs or not."""

from __future__ import annotations

import socket

import pytest

from reconciler.embedded import ports
from tests.support.ports import free_port, keep_port


def test_a_port_that_is_kept_is_chosen_by_nobody_and_its_gateway_listens_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = free_port()
    monkeypatch.setattr(ports, "PORTS", range(kept, kept + 1))
    monkeypatch.setattr("random.sample", lambda values, _: list(values))

    assert list(ports.free_ports()) == []
    with ports.listen_on(("127.0.0.1", kept), "a gateway", "stop that"):
        assert list(ports.free_ports()) == []
    assert list(ports.free_ports()) == []


def test_a_port_that_somebody_has_is_not_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        keep_port(taken.getsockname()[1])
