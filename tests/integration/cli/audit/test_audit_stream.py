"""`audit list --after --follow`: each record once, in order, and none that does not verify."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.commands.audit_log import TAMPERED, following, newest
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

FOLLOW = ("audit", "list", "--after", "0", "--follow", "--output", "jsonl")


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), one=grant_manifest("one"))
    made.ok("apply", "manifests", "--yes")
    return made


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_follows_a_record_is_printed_whole_and_verified(mosaic: Quick) -> None:
    last = newest(mosaic)
    every = records(mosaic.ok("audit", "list", "--after", "0", "-o", "jsonl").out)
    assert [each["seq"] for each in every] == list(range(1, last + 1))
    assert every == mosaic.document("audit", "list")
    rest = records(mosaic.ok("audit", "list", "--after", str(last - 1), "-o", "jsonl").out)
    assert [each["seq"] for each in rest] == [last]
    assert mosaic.ok("audit", "list", "--after", str(last), "-o", "jsonl").out == ""
    grants = records(
        mosaic.ok("audit", "list", "--after", "0", "--kind", "grant", "-o", "jsonl").out
    )
    assert {each["subject"] for each in grants} == {"grant/one"}


def test_a_record_that_was_changed_ends_the_list_and_is_named(mosaic: Quick) -> None:
    last = newest(mosaic)
    mosaic.rows.tamper(TAMPERED, seq=last)
    done = mosaic("audit", "list", "--after", "0", "-o", "jsonl")
    assert done.code == 1
    assert [each["seq"] for each in records(done.out)] == list(range(1, last))
    assert f"error: the audit log breaks at seq {last}: column 'actor' differs" in done.err


def test_a_cursor_ahead_of_the_log_is_refused(mosaic: Quick) -> None:
    done = mosaic("audit", "list", "--after", "4711", "-o", "jsonl")
    assert (done.code, done.out) == (1, "")
    assert "breaks at seq 4711: there is no such record: the head is at seq 2" in done.err


def test_records_that_were_removed_from_the_end_are_missed(mosaic: Quick) -> None:
    last = newest(mosaic)
    mosaic.rows.tamper("DELETE FROM federation_audit_log WHERE seq = :seq", seq=last)
    done = mosaic("audit", "list", "--after", "0", "-o", "jsonl")
    assert done.code == 1
    assert f"breaks at seq {last}: the head is at seq {last}" in done.err


def test_it_follows_through_a_lost_connection_and_ends_at_a_break(mosaic: Quick) -> None:
    with following(mosaic, *FOLLOW) as started:
        last = newest(mosaic)
        started.wait_for(f'"seq": {last},')
        mosaic.rows.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE '%audit list%'"
        )
        mosaic.ok("grant", "suspend", "one")
        started.wait_for(f'"seq": {last + 1},')
        mosaic.ok("grant", "resume", "one")
        started.wait_for(f'"seq": {last + 2},')
        mosaic.rows.tamper("DELETE FROM federation_audit_log WHERE seq = :seq", seq=last + 2)
        started.wait_for(f"error: the audit log breaks at seq {last + 2}")
        assert started.process.wait(PATIENCE_S) == 1
    read = [each for line in started.lines if line[0] == "{" for each in records(line)]
    assert [each["seq"] for each in read] == list(range(1, last + 3))


def test_ctrl_c_and_sigterm_end_it_with_0_and_say_nothing(mosaic: Quick) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with following(mosaic, *FOLLOW) as started:
            started.wait_for(f'"seq": {newest(mosaic)},')
            started.process.send_signal(number)
            assert started.process.wait(PATIENCE_S) == 0
        assert all(line.startswith("{") for line in started.lines)


def test_it_ends_quietly_when_nobody_reads_any_more(mosaic: Quick) -> None:
    with subprocess.Popen(
        [*COMMAND, *FOLLOW],
        cwd=mosaic.cwd,
        env=mosaic.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        wait_until(lambda: process.poll() is not None, "it ends")
        assert process.stderr.read() == b""
