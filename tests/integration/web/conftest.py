"""What tests of the endpoint share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.gateways.web_server import Parts, Running, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def running(web_parts: Parts) -> Iterator[Running]:
    with serving(web_parts) as server:
        yield server
