"""A record as a line of JSON: whatever its body is spelled like, the line gives it back."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from reconciler.core.audit.chain import GENESIS, Record, record_hash
from reconciler.core.audit.record_lines import line_of, record_of

AT = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
BODY = {"actor": "user:olga", "at": "2026-06-01T12:00:00.25Z", "kind": "x.y", "seq": 1}
REST = {"subject": "grant/é", "data": {"\u2028": [1.5, None, "\x7f\n"]}}


def test_each_spelling_of_a_body_is_read_back_equal() -> None:
    for body in (
        json.dumps(BODY | REST, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        json.dumps(BODY | REST | {"login": "mosaic"}, sort_keys=True, ensure_ascii=False),
        json.dumps(BODY | REST, indent=1),
        json.dumps(BODY | REST | {"more": 1}, separators=(",", ":")),
        f'{{"data":{{"x":{"9" * 5000},"x":1}}}}',  # no reader takes its number
        f'{{"data":{{"x":{"[" * 2000}{"]" * 2000},"x":1}}}}',
    ):
        digest = record_hash(1, GENESIS, body)
        record = Record(1, AT, "x.y", "user:olga", "grant/é", body, GENESIS, digest)
        line = line_of(record)
        assert record_of(line) == record
        assert line.count(b"\n") == 1


@pytest.mark.parametrize("line", ["", "{", "[]", "1", '{"seq": 1}', "[" * 100_000, '{"seq": "x"}'])
def test_what_is_no_record_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="it is not a record of an audit log"):
        record_of(line)
