"""Two whole gateways, alpha and beta, that run as long as the tests of one module do."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from reconciler.packaged_files import data_dir
from tests.support.gateways.gateway import TestGateway, Up, gateway_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Pair:
    """Alpha, which grants, and beta, which is granted; both run."""

    alpha: TestGateway
    beta: TestGateway
    alpha_up: Up

    @contextmanager
    def alpha_stopped(self) -> Iterator[None]:
        """Have nothing of alpha running until the block ends."""
        assert self.alpha_up.stop() == 0, self.alpha_up.output
        try:
            yield
        finally:
            self.alpha_up = self.alpha.start_up()

    def create(self, name: str) -> str:
        """Create a grant of alpha's; return the URL of its invitation."""
        scope = '{"resources": [{"type": "notes", "verbs": ["list"]}], "maxRowsPerQuery": 5}'
        to = ("--peer", "beta", "--subject-user", "maria", "--scope", scope)
        created = self.alpha.document("grant", "create", name, *to)
        return str(created["invitation"]["url"])

    def invite(self, grant: str) -> str:
        """Return the URL of a fresh invitation to a grant of alpha's."""
        return str(self.alpha.document("grant", "invite", grant)["invitation"]["url"])


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Run both gateways; alpha has applied the manifests that this repository ships."""
    with gateway_folder("alpha") as alpha, gateway_folder("beta") as beta:
        for gateway in (alpha, beta):
            gateway.ok("init")
        shutil.copytree(data_dir("manifests"), alpha.manifests, dirs_exist_ok=True)
        alpha.ok("apply", "--yes")
        ups = [gateway.begin_up() for gateway in (alpha, beta)]
        for up in ups:
            up.wait_for("ready: ")
        made = Pair(alpha, beta, ups[0])
        yield made
        for gateway, up in ((alpha, made.alpha_up), (beta, ups[1])):
            assert up.stop() == 0, up.output
            assert gateway.processes() == {}


@pytest.fixture(scope="module")
def alpha(pair: Pair) -> TestGateway:
    """The gateway that grants."""
    return pair.alpha


@pytest.fixture(scope="module")
def beta(pair: Pair) -> TestGateway:
    """The gateway that is granted."""
    return pair.beta


@pytest.fixture
def gateway(request: pytest.FixtureRequest) -> Iterator[TestGateway]:
    """Make a gateway of its own for a test; nothing of it runs yet."""
    with gateway_folder("gamma") as made:
        made.ok("init")
        yield made
