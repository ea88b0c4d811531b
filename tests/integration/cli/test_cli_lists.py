"""Lists: which rows, in which form, and as they change."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.audit_log import following
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    labelled = peer_manifest("acme").replace("name: acme", "name: acme, labels: {region: eu}", 1)
    write(
        tmp_path / "manifests",
        acme=labelled,
        beta=peer_manifest(),
        one=grant_manifest("one"),
        two=grant_manifest("two", peer="acme", subject="ada", expires="2036-01-01T00:00:00Z"),
    )
    made.ok("apply", "manifests", "--yes")
    return made


def names(mosaic: Quick, *arguments: str) -> list[str]:
    return mosaic.ok(*arguments, "-o", "name").out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ["one", "two"]),
        (("--peer", "acme"), ["two"]),
        (("--peer", "acme", "--peer", "beta"), ["one", "two"]),
        (("--subject", "ada"), ["two"]),
        (("--subject", "ada", "--peer", "beta"), []),
        (("--ends-within", "1d"), []),
        (("--ends-within", "20000d"), ["one", "two"]),
    ],
)
def test_grants_are_those_that_every_filter_lets_through(
    mosaic: Quick, arguments: tuple[str, ...], expected: list[str]
) -> None:
    assert names(mosaic, "grant", "list", *arguments) == expected


def test_peers_are_selected_by_their_labels(mosaic: Quick) -> None:
    assert names(mosaic, "peer", "list", "-l", "region=eu") == ["acme"]
    assert names(mosaic, "peer", "list", "--selector", "!region") == ["beta"]
    assert mosaic.document("peer", "show", "acme")["labels"] == {"region": "eu"}
    wrong = mosaic("peer", "list", "-l", "region=")
    assert (wrong.code, wrong.out) == (0, "no such peer\n")
    assert mosaic("peer", "list", "-l", "=eu").code == 64


def test_a_line_of_jsonl_is_an_element_of_the_array(mosaic: Quick) -> None:
    lines = mosaic.ok("grant", "list", "-o", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == mosaic.document("grant", "list")


def test_wide_has_more_columns_and_leaves_none_out(mosaic: Quick) -> None:
    table = mosaic.ok("peer", "list", COLUMNS="40").out
    wide = mosaic.ok("peer", "list", "-o", "wide", COLUMNS="40").out
    assert max(map(len, table.splitlines())) <= 40
    assert ("region=eu" in wide, "region=eu" in table) == (True, False)
    assert "manifests/acme.yaml" in wide or "acme.yaml:" in wide


@pytest.mark.parametrize("command", [("history",), ("audit", "list")])
def test_a_narrow_list_of_records_still_says_what_happened(
    mosaic: Quick, command: tuple[str, ...]
) -> None:
    table = mosaic.ok(*command, COLUMNS="40").out
    assert max(map(len, table.splitlines())) <= 40
    assert "grant.created" in table


def test_a_peer_with_many_grants_has_the_first_in_its_row_and_the_number_of_the_others(
    mosaic: Quick,
) -> None:
    mosaic.rows.apply(peer_manifest(), *(grant_manifest(f"g{number}") for number in range(7)))
    assert "g0, g1, g2, g3, g4, and 2 more\n" in mosaic.ok("peer", "list").out
    (beta,) = (each for each in mosaic.document("peer", "list") if each["name"] == "beta")
    assert len([each for each in beta["grants"] if each.startswith("g")]) == 7


def test_a_watched_list_appends_what_changes_and_ends_with_0(mosaic: Quick) -> None:
    with following(mosaic, "grant", "list", "--watch", "-o", "jsonl") as started:
        started.wait_for('"name": "two"')
        mosaic.ok("grant", "suspend", "one", "--reason", "ticket 4711")
        started.wait_for("ticket 4711")
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(PATIENCE_S) == 0
    lines = [json.loads(line) for line in started.lines]
    assert [each["name"] for each in lines] == ["one", "two", "one"]


@pytest.mark.parametrize("verb", [("grant", "list"), ("status",)])
def test_a_watch_at_a_terminal_draws_one_screen_and_ctrl_c_ends_it(
    mosaic: Quick, verb: tuple[str, ...]
) -> None:
    mosaic.ok("grant", "suspend", "two")
    done = mosaic.at_terminal(*verb, "--watch", typed="\x03", until=b"\x1b[J", LINES="20")
    assert done.code == 0
    assert "\x1b[H" in done.out
    assert "two" in done.out
    assert "interrupted" not in done.out


def test_a_watched_status_appends_a_state_when_it_changes(mosaic: Quick) -> None:
    with following(mosaic, "status", "--watch", "-o", "json") as started:
        started.wait_for('"held": []')
        mosaic.ok("grant", "suspend", "one", "--reason", "ticket 4711")
        started.wait_for("ticket 4711")
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0
    assert len([json.loads(line) for line in started.lines]) == 2


def test_names_of_the_database_complete_and_nothing_is_said_without_one(mosaic: Quick) -> None:
    def complete(line: str, **variables: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        done = mosaic.process(
            _MOSAIC_COMPLETE="bash_complete", MOSAIC_LOG_FORMAT="json", **words, **variables
        )
        assert done.err == ""
        return [each.partition(",")[2] for each in done.out.splitlines() if each]

    assert complete("mosaic federation grant show ") == ["one", "two"]
    assert complete("mosaic federation peer revoke a") == ["acme"]
    assert complete("mosaic federation grant list --peer ") == ["acme", "beta"]
    assert complete("mosaic federation history grant/o") == ["grant/one"]
    assert complete("mosaic federation explain g") == ["grant"]
    assert complete("mosaic federation explain grant o") == ["one"]
    assert complete("mosaic federation explain serial ") == []
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    assert complete("mosaic federation grant show ", MOSAIC_DATABASE_URL=nowhere) == []
