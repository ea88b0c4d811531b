"""The stack that the tests of compose/ share: up once, and taken away with its volumes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.compose.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring both gateways up, as docs/deploy.md says."""
    folder = tmp_path_factory.mktemp("compose")
    folder.parent.chmod(0o755)
    folder.parent.parent.chmod(0o755)
    made = Stack(folder)
    made.prepare()
    try:
        up = made.compose("up", "--detach")
        assert up.code == 0, up.err
        made.wait_healthy("proxy", "beta-gateway")
        yield made
    except BaseException:
        sys.stderr.write(made.compose("logs", "--no-color", "--tail=40").out)
        raise
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout=20")
