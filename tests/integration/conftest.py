"""What integration tests share: one real certificate authority, and the parts of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from reconciler.core.privileges import LOGINS
from reconciler.web.app import make_app
from tests.support.commands.in_process import Quick, shell
from tests.support.database.cluster import new_database
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.gateways.grantor import Alpha, Trouble, url_of
from tests.support.gateways.holder import Holder
from tests.support.gateways.joiner import Beta, beta_of
from tests.support.gateways.step_ca import Authority, authority
from tests.support.gateways.web_server import Parts, serving
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.embedded.postgres.server import Cluster


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside no source, with all that a gateway without a home needs set."""
    return shell(tmp_path, database_url)


@pytest.fixture(scope="session")
def shared_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """A step-ca that runs for the whole session; a test that stops one makes its own."""
    with authority(tmp_path_factory.mktemp("ca")) as ca:
        yield ca


@pytest.fixture
def own_authority(tmp_path: Path) -> Iterator[Authority]:
    """A step-ca that a test may do anything to."""
    with authority(tmp_path) as ca:
        yield ca


@pytest.fixture(scope="session")
def web_parts(shared_authority: Authority, server: Cluster, template: str) -> Iterator[Parts]:
    """What the endpoint's tests serve: they change no rows that another one of them reads."""
    with new_database(server, template) as url:
        yield Parts(url, shared_authority.roots, shared_authority.client)


@pytest.fixture(scope="module")
def alpha_address() -> tuple[str, int]:
    """Where alpha serves, and where its proofs and its certificates say that it does."""
    return "127.0.0.1", free_port()


@pytest.fixture(scope="module")
def alpha_authority(
    tmp_path_factory: pytest.TempPathFactory, alpha_address: tuple[str, int]
) -> Iterator[Authority]:
    with authority(tmp_path_factory.mktemp("ca"), url_of(alpha_address)) as ca:
        yield ca


@pytest.fixture
def alpha(
    alpha_authority: Authority,
    alpha_address: tuple[str, int],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Alpha]:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    made: list[Trouble] = []

    def with_trouble(*args: Any, **kwargs: Any) -> Any:
        made.append(Trouble(make_app(*args, **kwargs)))
        return made[0]

    monkeypatch.setattr("tests.support.gateways.web_server.make_app", with_trouble)
    url = url_of(alpha_address)
    parts = Parts(rows.url, alpha_authority.roots, alpha_authority.client, public_url=url)
    with serving(parts, address=alpha_address) as running:
        yield Alpha(rows, running, alpha_authority, made[0])


@pytest.fixture
def own_logins(server: Cluster) -> Iterator[None]:
    """Let the logins of the roles be those of the test's database; later those of another one's."""
    yield
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for login in LOGINS:
            connection.execute(f"COMMENT ON ROLE {login} IS NULL")


@pytest.fixture
def beta(
    server: Cluster, template: str, tmp_path: Path, alpha_address: tuple[str, int]
) -> Iterator[Beta]:
    with new_database(server, template) as url:
        yield beta_of(url, tmp_path / "keys", url_of(alpha_address))


@pytest.fixture
def holder(alpha: Alpha, beta: Beta, tmp_path: Path) -> Holder:
    variables = {
        "MOSAIC_DATABASE_URL": beta.rows.url,
        "MOSAIC_KEYRING": str(tmp_path / "keys"),
        "MOSAIC_ALLOW_ADDRESSES": "127.0.0.0/8",
    }
    beta.join(alpha.invitation())
    return Holder(alpha, beta, Quick(tmp_path, variables))
