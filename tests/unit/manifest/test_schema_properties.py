"""What the JSON Schemas pass, `validate` passes, and nothing else; and hints quote the file."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.core.model.spec import MAX_LIFETIME, MIN_LIFETIME
from reconciler.core.model.times import format_duration
from reconciler.core.source import SourceFile
from reconciler.errors import InvalidManifests
from reconciler.manifest.json_schema import json_schema
from reconciler.manifest.load import declared_in
from reconciler.manifest.patterns import EXPIRES_PATTERN, LIFETIME_PATTERN
from tests.support.manifests.text import GRANT, PEER, problems

SCHEMAS = {kind: Draft202012Validator(json_schema(kind.lower())) for kind in ("Peer", "Grant")}
much = settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))

LIFETIMES = ["5m", "7d", "168h", "10080m", "604800s", "300s", "1h30m", "6d23h59m59s", "1d0h"]
NO_LIFETIMES = ["1w", "24H", "P1D", "8d", "", "4m", "299s", "169h", "7d1s", "1h60m", "0h5m", "5m\n"]
TIMES = ["2036-06-30T00:00:00Z", "2036-02-29t23:59:59.5+05:30", "2000-01-01T00:00:00Z"]
NO_TIMES = [
    "2036-06-30", "2035-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2036-06-31T00:00:00Z",
    "9999-12-31T23:59:59Z", "1999-12-31T23:59:59Z", "2036-06-30T24:00:00Z", "2036-06-30T00:00:60Z",
    "2036-06-30T00:00:00", "2036-06-30T00:00:00+24:00", "2036-06-30T00:00:00+01:60",
    "2036-13-01T00:00:00Z", "2036-06-30T00:00:00Z\n",
]  # fmt: skip


def accepts(document: dict[str, Any]) -> bool:
    try:
        return bool(declared_in(SourceFile("x.yaml", json.dumps(document).encode())))
    except InvalidManifests:
        return False


def agree(document: dict[str, Any]) -> bool:
    """Check that schema and program are of one mind; return of which."""
    passed = accepts(document)
    assert SCHEMAS[document["kind"]].is_valid(document) is passed, document
    return passed


def peer(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "federation.mosaicstack.dev/v1",
        "kind": "Peer",
        "metadata": {"name": "beta"},
        "spec": {"direction": "inbound", **spec},
    }


def grant(**spec: Any) -> dict[str, Any]:
    scope = {"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 5}
    fixed = {"peer": "beta", "subjectUserId": "m", "expiresAt": TIMES[0], "scope": scope}
    return {**peer(), "kind": "Grant", "metadata": {"name": "g"}, "spec": {**fixed, **spec}}


@pytest.mark.parametrize("text", LIFETIMES)
def test_a_lifetime_is_taken(text: str) -> None:
    assert agree(grant(certificate={"lifetime": text}))


@pytest.mark.parametrize("text", NO_LIFETIMES)
def test_a_lifetime_is_refused(text: str) -> None:
    assert not agree(grant(certificate={"lifetime": text}))


@pytest.mark.parametrize("text", TIMES)
def test_an_end_is_taken(text: str) -> None:
    assert agree(grant(expiresAt=text))


@pytest.mark.parametrize("text", NO_TIMES)
def test_an_end_is_refused(text: str) -> None:
    assert not agree(grant(expiresAt=text))


@much
@given(st.from_regex(LIFETIME_PATTERN) | st.from_regex(r"[0-9]{0,7}[dhmsw]?([0-9]{1,3}[hms])?"))
def test_lifetimes_agree(text: str) -> None:
    agree(grant(certificate={"lifetime": text}))


@given(st.timedeltas(MIN_LIFETIME, MAX_LIFETIME).map(lambda each: each // timedelta(seconds=1)))
def test_every_lifetime_can_be_written(seconds: int) -> None:
    assert agree(grant(certificate={"lifetime": format_duration(timedelta(seconds=seconds))}))


NUMBERS = st.integers(-1, 70)
OFFSETS = st.sampled_from(["Z", "+23:59", "-24:00"])
PARTS = st.tuples(st.integers(1998, 9002), *[NUMBERS] * 5, OFFSETS)
WHOLE = PARTS.map(lambda each: "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}".format(*each))


@much
@given(st.from_regex(EXPIRES_PATTERN) | WHOLE)
def test_ends_agree(text: str) -> None:
    agree(grant(expiresAt=text))


@given(st.datetimes(datetime(2000, 1, 1), datetime(9000, 12, 31)))  # noqa: DTZ001 - written as UTC
def test_every_time_can_be_written(at: datetime) -> None:
    assert agree(grant(expiresAt=f"{at.isoformat()}Z"))


words = st.text("ab-._@A9é\n \t#", max_size=6) | st.sampled_from(["beta", "a" * 63, "a" * 64])
scalars = st.none() | st.booleans() | st.integers(-2, 10_002) | words | st.just(0.5)
urls = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", ""]),
    st.sampled_from(["b.example", "", "u@b", "b c", "bü.example", "b\n"])
    | st.sampled_from(["[::1]", "[1]", "[::]", "[1::2::3]", "[::1.2.3.4]", "[::1.2.3.256]"])
    | st.lists(st.sampled_from(["1", "ffff", "10000", "g", ""]), min_size=6, max_size=9).map(
        lambda parts: f"[{':'.join(parts)}]"
    ),
    st.sampled_from(["", ":", ":0", ":1", ":443", ":65535", ":65536", ":99999", ":x"]),
    st.sampled_from(["", "/", "/x", "/x?y", "/#", "/\n"]),
)
labels = st.dictionaries(words, words, max_size=3) | scalars
kinds = st.sampled_from(["tasks", "notes", "memory", "credentials", "task"])
verbs = st.lists(st.sampled_from(["list", "get", "put"]), max_size=3) | scalars
filters = st.fixed_dictionaries(
    {}, optional={"teams": st.lists(words, max_size=3) | scalars, "personal": scalars}
)
resources = st.fixed_dictionaries(
    {"type": kinds, "verbs": verbs}, optional={"filter": filters | scalars}
)
scopes = st.fixed_dictionaries(
    {
        "resources": st.lists(resources | scalars, max_size=7) | scalars,
        "maxRowsPerQuery": scalars | st.integers(1, 10_000),
    }
)
optional = {"protect": scalars, "other": scalars}


@much
@given(
    st.fixed_dictionaries(
        {"direction": st.sampled_from(["inbound", "outbound", "x"])},
        optional={**optional, "displayName": scalars, "endpoint": urls | scalars},
    ),
    st.fixed_dictionaries({"name": words}, optional={"labels": labels}),
)
@example({"direction": "inbound"}, {"name": "beta\n"})
@example({"direction": "inbound"}, {"name": "beta", "labels": {"a\n": "b\n"}})
def test_peers_agree(spec: dict[str, Any], metadata: dict[str, Any]) -> None:
    agree({**peer(), "metadata": metadata, "spec": spec})


@much
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **optional,
            "peer": words,
            "subjectUserId": scalars,
            "suspended": scalars,
            "scope": scopes | scalars,
            "certificate": st.fixed_dictionaries({}, optional={"lifetime": scalars}) | scalars,
        },
    )
)
def test_grants_agree(spec: dict[str, Any]) -> None:
    agree(grant(**spec))


@given(st.lists(kinds, min_size=1, max_size=6))
def test_a_type_appears_once_by_the_schema_too(types: list[str]) -> None:
    scope = {"resources": [{"type": t, "verbs": ["get"]} for t in types], "maxRowsPerQuery": 1}
    once = len(set(types)) == len(types) and not {"credentials", "task"} & set(types)
    assert agree(grant(scope=scope)) is once


WRITTEN = ["12e4", "1.10", "1e400", "-0", "0.50", "1E5", "true", "False", "9" * 40, "null", "Null"]


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.parametrize("head", ["", "# é😀\r\n"])
def test_a_hint_quotes_what_stands_in_the_file(text: str, head: str) -> None:
    manifest = f"{head}{GRANT.replace('maria', text)}"
    (problem,) = problems(a=manifest, b=PEER)
    assert problem.hint.startswith(f'quote it: "{text}"')
    assert problem.message.startswith(f"{text} is ")
    quoted = manifest.replace(f"subjectUserId: {text}", f'subjectUserId: "{text}"')
    spec = declared_in(SourceFile("a", quoted.encode()))[0].spec
    assert getattr(spec, "subject_user_id", None) == text


@pytest.mark.parametrize("text", ["1830297600", "null"])
def test_a_number_is_not_told_to_be_quoted_where_a_time_or_a_duration_belongs(text: str) -> None:
    changed = GRANT.replace("2036-06-30T00:00:00Z", text)
    changed += f"  certificate: {{lifetime: {text}}}\n"
    hints = {problem.path: problem.hint for problem in problems(a=changed, b=PEER)}
    assert hints == {
        "spec.expiresAt": "write a time such as 2027-06-30T00:00:00Z",
        "spec.certificate.lifetime": "write a duration such as 24h, or remove the key",
    }


@pytest.mark.parametrize("text", ["0x1F", "010", ".5", "1_000", "2026-01-01", "yes", "no"])
def test_what_is_text_stays_the_text_that_it_is(text: str) -> None:
    spec = declared_in(SourceFile("a", GRANT.replace("maria", text).encode()))
    assert getattr(spec[0].spec, "subject_user_id", None) == text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("500", "5e2", "got 5e2, expected a whole number"),
        ("500", "1_000", '"1_000" is text in YAML 1.2, expected a whole number'),
        ("500", "0x1F", '"0x1F" is text in YAML 1.2, expected a whole number'),
        ("kind: Grant", "kind: 1.10", '"1.10" is not one of Peer, Grant'),
        ("type: tasks", "type: 12e4", '"12e4" is not one of tasks'),
        ("verbs: [list, get]", "verbs: [list, 1.10]", '"1.10" is not one of list, get'),
    ],
)
def test_a_message_quotes_what_stands_in_the_file(old: str, new: str, expected: str) -> None:
    reports = problems(a=GRANT.replace(old, new), b=PEER)
    assert any(each.message.startswith(expected) for each in reports), reports
