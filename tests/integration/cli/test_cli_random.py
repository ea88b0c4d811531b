"""Any words, any input: a clear line and an exit code of the table, and never an internal error."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.cli.main import mosaic as group
from reconciler.cli.main import run
from reconciler.cli.shared.error_report import wants_json
from reconciler.errors import EXIT_MEANINGS, MosaicError
from tests.support.commands.applied_source import applied_source
from tests.support.commands.in_process import same_logging
from tests.support.commands.tree import INPUTS, VERBS, any_word, arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.commands.in_process import Quick

# these go on until a signal, make whole gateways, remove them, or build programs
NOT_RUN = {
    ("federation", *words.split())
    for words in (
        "up",
        "run",
        "serve",
        "demo",
        "init",
        "destroy",
        "prepare",
        "ca install",
        "ca init",
    )
}
RUN = st.sampled_from(sorted(VERBS.keys() - NOT_RUN))
PARSED = st.sampled_from(sorted(NOT_RUN & VERBS.keys()))
BOUNDED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory, shared_database_url: str) -> Iterator[Quick]:
    made = applied_source(tmp_path_factory.mktemp("shell"), shared_database_url)
    made.enroll("a")
    (made.cwd / "binary").write_bytes(bytes(range(256)) * 8)
    (made.cwd / "empty").touch()
    (made.cwd / "latin1.json").write_bytes(b'{"resources": ["m\xfcnchen"]}')
    (made.cwd / "folder").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environ().items():
            patch.setenv(name, value)
        patch.chdir(made.cwd)
        yield made


def outcome(words: list[str], given_input: bytes = b"") -> tuple[int, str]:
    """Run a command line here; return its exit code and all that it wrote on standard error."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with pytest.MonkeyPatch.context() as patch, same_logging():
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given_input), encoding="utf-8"))
        with redirect_stdout(out), redirect_stderr(err):
            code = run(words)
            out.flush()
            err.flush()
    return code, err.buffer.getvalue().decode()


def refuse_internal_errors(words: list[str], code: int, err: str) -> None:
    debugging = {"-v", "--verbose", "debug"} & set(words)
    assert "internal error" not in err.lower(), (words, err)
    assert debugging or "Traceback" not in err, (words, err)
    assert code in EXIT_MEANINGS, (words, code)
    if code not in (0, 2) and wants_json(words) and not debugging:
        last = err.strip().splitlines()[-1] if err.strip() else "{}"
        if last.startswith("{"):
            assert json.loads(last).get("error", {"exitCode": code})["exitCode"] == code


@settings(BOUNDED, max_examples=400)
@example(["federation", "at", "999999d"], b"")
@example(["federation", "grant", "list", "--home", "/proc/self/mem"], b"")
@example(["federation", "plan", "--save", "/dev/null"], b"")
@example(["federation", "plan", "/proc/self/mem"], b"")
@given(arguments(RUN), st.sampled_from(INPUTS))
def test_no_command_line_ends_in_an_internal_error(
    mosaic: Quick, words: list[str], given_input: bytes
) -> None:
    refuse_internal_errors(words, *outcome(words, given_input))


@settings(BOUNDED, max_examples=200)
@given(arguments(PARSED))
def test_no_options_of_a_long_running_verb_break_its_reading(
    mosaic: Quick, words: list[str]
) -> None:
    path = next(path for path in VERBS if list(path) == words[: len(path)])
    with same_logging(), suppress(click.ClickException, click.exceptions.Exit, MosaicError):
        VERBS[path].make_context("mosaic", words[len(path) :], **group.context_settings)


@settings(BOUNDED, max_examples=100)
@given(st.lists(any_word, max_size=4))
def test_no_words_at_all_end_in_an_internal_error(mosaic: Quick, words: list[str]) -> None:
    for line in (words, ["federation", *words]):
        refuse_internal_errors(line, *outcome(line))


@settings(BOUNDED, max_examples=100)
@given(
    st.sampled_from(
        ["SOURCE", "REF", "PATH", "LISTEN", "HOME", "KEYRING", "CA_ROOT", "RATE_LIMIT"]
    ),
    any_word,
    st.sampled_from(["plan", "doctor", "grant list", "keys status", "ca status", "validate"]),
)
def test_no_variable_ends_in_an_internal_error(
    mosaic: Quick, variable: str, value: str, verb: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv(f"MOSAIC_{variable}", value)
        except UnicodeEncodeError:
            return  # no environment can hold it
        words = ["federation", *verb.split()]
        refuse_internal_errors([*words, value], *outcome(words))
