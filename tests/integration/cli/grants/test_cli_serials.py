"""Certificates by the spellings of their serials: on the command line, and in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.issuance.serials import parse_fingerprint, parse_serial
from tests.support.commands.applied_source import applied_source
from tests.support.manifests.spellings import (
    FINGERPRINTS,
    NO_FINGERPRINTS,
    NO_SERIALS,
    SERIALS,
    numbers,
    spelled,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.commands.in_process import Quick

WORDS = "0123456789abcdefABCDEFxX: \t\n=()serialnumberSHA-256"
READ = {"federation_serial": parse_serial, "federation_fingerprint": parse_fingerprint}


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory, shared_database_url: str) -> Quick:
    return applied_source(tmp_path_factory.mktemp("shell"), shared_database_url)


@pytest.fixture(scope="module")
def serial(mosaic: Quick) -> str:
    return mosaic.enroll("a")


def ours(read: Callable[[str], str], text: str) -> str | None:
    try:
        return read(text)
    except ValueError:
        return None


def of_sql(mosaic: Quick, function: str, texts: list[str]) -> list[str | None]:
    rows = mosaic.rows.rows(
        f"SELECT {function}(spelling) AS form FROM unnest(CAST(:texts AS text[]))"
        " WITH ORDINALITY AS of (spelling, n) ORDER BY n",
        texts=texts,
    )
    return [row["form"] for row in rows]


@pytest.mark.parametrize("function", READ)
def test_the_database_reads_what_the_program_reads(mosaic: Quick, function: str) -> None:
    texts = [*(text for text, _ in SERIALS), *NO_SERIALS, *FINGERPRINTS, *NO_FINGERPRINTS]
    assert of_sql(mosaic, function, texts) == [ours(READ[function], text) for text in texts]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(numbers.flatmap(spelled), min_size=5, max_size=20),
    st.lists(
        st.text(st.sampled_from(WORDS), max_size=90)
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=210),
        max_size=20,
    ),
)
def test_the_database_and_the_program_agree_on_any_text(
    mosaic: Quick, serials: list[str], texts: list[str]
) -> None:
    for function, read in READ.items():
        expected = [ours(read, text) for text in (*serials, *texts)]
        assert of_sql(mosaic, function, [*serials, *texts]) == expected


def test_the_functions_are_strict_and_constant(mosaic: Quick) -> None:
    rows = mosaic.rows.rows(
        "SELECT provolatile::text AS volatility, proisstrict, proconfig FROM pg_proc"
        " WHERE proname IN ('federation_serial', 'federation_fingerprint')"
    )
    strict = {
        "volatility": "i",
        "proisstrict": True,
        "proconfig": ["search_path=pg_catalog, pg_temp"],
    }
    assert [dict(row) for row in rows] == [strict, strict]


def test_a_certificate_is_found_beside_the_view(mosaic: Quick, serial: str) -> None:
    spelling = f"serial={serial.upper()}"
    statement = (
        "SELECT grant_name FROM federation_authority WHERE serial = federation_serial(:text)"
    )
    assert mosaic.rows.one(statement, text=spelling) == "a"
    assert mosaic.rows.rows(statement, text="no serial") == []


def test_explain_takes_every_spelling(mosaic: Quick, serial: str) -> None:
    (result,) = mosaic.document("explain", "serial", serial)
    assert result["name"] == "a"
    fingerprint = result["certificates"][0]["fingerprint"]
    digits = fingerprint.removeprefix("sha256:").upper()
    pairs = ":".join(digits[at : at + 2] for at in range(0, 64, 2))
    padded = f"0{serial}" if len(serial) % 2 else serial
    by_two = [padded[at : at + 2].upper() for at in range(0, len(padded), 2)]
    for words in (
        ("serial", serial.upper()),
        ("serial", f"0x{serial}"),
        ("serial", f"00{serial}"),
        ("serial", f"serial:{int(serial, 16)}"),
        ("serial", f"serial={serial}"),
        ("serial", ":".join(by_two)),
        ("serial", *by_two),
        ("certificate", " ".join(by_two)),
        (f"certificate/{serial}",),
        (f"serial/{':'.join(by_two)}",),
        (serial.upper(),),
        (f"0x{serial}",),
        (":".join(by_two),),
        (f"serial:{int(serial, 16)}",),
        (fingerprint,),
        ("certificate", fingerprint),
        ("certificate", pairs),
        ("certificate", digits),
        ("certificate", f"sha256 Fingerprint={pairs}"),
        ("serial", f"SHA256 Fingerprint={pairs}"),
        (f"certificate/{fingerprint}",),
    ):
        assert mosaic.document("explain", *words) == [result], words


def test_a_subject_may_be_one_word_or_two(mosaic: Quick) -> None:
    for one, two in ((("grant/a",), ("grant", "a")), (("peer/beta",), ("Peer", "beta"))):
        assert mosaic.document("explain", *one) == mosaic.document("explain", *two)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("grants/a",), "got 'grants', expected one of grant, peer, certificate, serial"),
        (("grants", "a"), "(did you mean 'grant'?)"),
        (("grant",), "the name of the grant is missing"),
        (("grant/",), "the name of the grant is missing"),
        (("serial", "xyz"), 'got "xyz", expected a serial such as 0AF0'),
        (("certificate", "sha1:00"), 'got "sha1:00", expected a serial'),
        (("9" * 48,), "serial:2800 (decimal), or a SHA-256 fingerprint"),  # as Go prints one
        (("serial:0af0",), 'got "serial:0af0", expected a serial such as 0AF0'),
        ((), "Missing argument"),
    ],
)
def test_a_subject_that_cannot_be_is_wrong_usage(
    mosaic: Quick, words: tuple[str, ...], message: str
) -> None:
    refused = mosaic("explain", *words)
    assert refused.code == 64
    assert message in refused.err


def test_at_says_which_moment_it_took(mosaic: Quick) -> None:
    done = mosaic.ok("at", "2026-11-28")
    assert done.err.startswith("at 2026-11-28T00:00:00Z; ")
    assert mosaic.ok("at", "2026-11-28 02:00+02:00").err.startswith("at 2026-11-28T00:00:00Z; ")
    assert "GRANT" in mosaic.ok("at", "0s ago").out


@pytest.mark.parametrize("moment", ["999999d", "0001-01-01T00:00:00Z", "9999-12-31"])
def test_at_the_edges_of_the_calendar(mosaic: Quick, moment: str) -> None:
    done = mosaic("at", moment)
    assert done.code in (0, 64)
    assert "internal" not in done.err
