"""Tests for store/probe: the first database is made once, whoever else makes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Retry
from reconciler.store.connection import probe

if TYPE_CHECKING:
    from reconciler.embedded.postgres.server import Cluster

MAKERS = 6


def test_many_that_make_one_database_at_once_all_find_it_made(server: Cluster) -> None:
    admin_url = server.url("postgres")

    with ThreadPoolExecutor(MAKERS) as pool:
        made = [pool.submit(probe.ensure_database, admin_url, "raced") for _ in range(MAKERS)]
        for each in made:
            each.result()

    assert probe.answers(server.url("raced"))


def test_why_a_database_cannot_be_made_is_told_in_the_servers_words(server: Cluster) -> None:
    with pytest.raises(Retry, match='template database "missing" does not exist') as caught:
        probe.ensure_database(server.url("postgres"), "unmade", "missing")
    assert "unmade" in caught.value.message
    assert caught.value.hint
