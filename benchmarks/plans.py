"""Plans, and what else a person waits for, as whole processes: 10,000 grants, a file each."""

from __future__ import annotations

import itertools
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.manifests import GRANT, PEER
from benchmarks.processes import Commands, Usage, pair
from benchmarks.revocations import certificates_of
from tests.support.gateways.endpoints import scratch_database
from tests.support.gateways.enrollee import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.processes import Pairs

GRANTS: Final = 10_000
REMOVED: Final = 1_000

# what no plan can do without: read and hash every file, and ask for every row
FLOOR: Final = """
import hashlib, os, sys, psycopg
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            hashlib.sha256(file.read()).digest()
with psycopg.connect(os.environ["MOSAIC_DATABASE_URL"]) as connection:
    connection.execute("SELECT name, spec_digest FROM federation_grants", binary=True).fetchall()
"""


def make_source(folder: Path, grants: int) -> None:
    """Write a source of so many grants, a file each."""
    (folder / "grants").mkdir(parents=True)
    (folder / "peer.yaml").write_text(PEER)
    for number in range(grants):
        text = GRANT.replace("NUMBER", str(number))
        (folder / "grants" / f"{number:06}.yaml").write_text(text)


@contextmanager
def gateway(grants: int, *, applied: bool = True) -> Iterator[Commands]:
    """Give commands beside an applied source, `manifests`, with a home for the cache."""
    with scratch_database() as (folder, url):
        home = folder / "work" / ".mosaic"
        home.mkdir(0o700, parents=True)
        (home / "mosaic.toml").write_text("")
        make_source(folder / "work" / "manifests", grants)
        commands = Commands(home.parent, {"MOSAIC_DATABASE_URL": url})
        if applied:
            commands.mosaic("apply", "--yes", "manifests")
        yield commands


def make_warm(commands: Commands) -> None:
    """Plan until everything is known."""
    for _ in range(3):
        commands.mosaic("plan", "manifests")


def figures() -> Iterator[Pairs]:
    """Yield the figures of this subject."""
    python = sys.executable
    with gateway(GRANTS) as commands:

        def floor() -> Usage:
            return commands.run([python, "-c", FLOOR, "manifests"])

        def cold() -> Usage:
            return commands.mosaic("plan", "--verify", "manifests")

        words = "hashing every file, and SELECT"
        make_warm(commands)
        yield pair(
            f"no-op plan of {GRANTS:,}, warm",
            lambda: commands.mosaic("plan", "manifests"),
            words,
            floor,
        )
        yield pair("  one file changed", _changed_plan(commands), words, floor)
        yield pair(f"no-op plan of {GRANTS:,}, cold", cold, words, floor)
        yield pair(f"first apply of {GRANTS:,}", _first_apply, "a cold plan", cold, rounds=3)
        yield pair(
            f"remove {REMOVED:,} grants with certificates",
            _removal,
            "a cold plan",
            cold,
            rounds=3,
        )
    with gateway(100) as commands:
        yield pair(
            "mosaic --help",
            lambda: commands.run([str(Path(python).with_name("mosaic")), "--help"]),
            "python -c pass",
            lambda: commands.run([python, "-c", "pass"]),
        )
        yield pair(
            "grant list, 100 rows",
            lambda: commands.mosaic("grant", "list"),
            "python -c 'import sqlalchemy, psycopg'",
            lambda: commands.run([python, "-c", "import sqlalchemy, psycopg"]),
        )


def _changed_plan(commands: Commands) -> Callable[[], Usage]:
    """Return a plan after a change of one file, another one each time."""
    numbers = itertools.count(600)
    path = commands.folder / "manifests" / "grants" / "000000.yaml"

    def run() -> Usage:
        path.write_text(GRANT.replace("NUMBER", "0").replace("500", str(next(numbers))))
        return commands.mosaic("plan", "manifests")

    return run


def _first_apply() -> Usage:
    with gateway(GRANTS, applied=False) as commands:
        return commands.mosaic("apply", "--yes", "manifests")


def _removal() -> Usage:
    """Remove grants that have a live certificate each; the workers' part is in `revocations`."""
    with gateway(GRANTS) as commands:
        Rows(commands.environ["MOSAIC_DATABASE_URL"]).run(
            certificates_of("name ~ '^grant-.{1,3}$'")
        )
        for path in sorted((commands.folder / "manifests" / "grants").iterdir())[:REMOVED]:
            path.unlink()
        return commands.mosaic("apply", "--yes", "manifests")
