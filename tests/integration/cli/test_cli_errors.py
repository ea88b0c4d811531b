"""How the command line fails: what it says, where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.cli.main import run
from reconciler.errors import EXIT_MEANINGS, OUTCOMES
from tests.support.commands.process import COMMAND, Command, write
from tests.support.commands.tree import VERBS
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

SCHEMAS: Final = ROOT / "schemas"
HEAVY: Final = ("sqlalchemy", "psycopg", "cryptography", "joserfc", "pydantic", "ruamel", "httpx")


@pytest.fixture
def mosaic(tmp_path: Path) -> Command:
    """A shell in an empty folder, with no gateway anywhere."""
    return Command(tmp_path)


@pytest.mark.parametrize("arguments", [["--help"], ["federation", "--help"]])
def test_help_imports_none_of_the_libraries_that_verbs_need(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom reconciler.cli.main import run\n"
        f"code = run({arguments!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Usage: mosaic" in done.stdout


def test_every_verb_of_the_help_has_a_help_of_its_own(mosaic: Command) -> None:
    for words in VERBS:
        assert run([*words, "--help"]) == 0, words


def test_every_exit_code_has_a_meaning() -> None:
    assert {each.exit_code for each in OUTCOMES.values()} <= set(EXIT_MEANINGS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["grnt", "list"], "there is no command 'grnt' (did you mean 'grant'?)"),
        (["grant", "lst"], "there is no command 'lst' (did you mean 'list'?)"),
        (["zzz"], "there is no command 'zzz'"),
        (["grant", "list", "--statsu", "active"], "No such option '--statsu'"),
        (["grant", "list", "--status", "dead"], "'dead' is not one of 'pending', 'active'"),
        (["grant", "show"], "Missing argument 'NAME'"),
        (["plan", "m", "--target", "beta"], "expected one such as grant/beta-tasks"),
        (["plan", "m", "--max-removals", "many"], "expected a number such as 12"),
        (["apply", "m", "--wait-lock", "soon"], 'got "soon", expected a duration'),
    ],
)
def test_wrong_usage_exits_with_64_in_words_and_as_json(
    mosaic: Command, arguments: list[str], expected: str
) -> None:
    done = mosaic(*arguments)
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith("error: ")
    assert expected in done.err
    assert "--help`" in done.err.splitlines()[-1]
    error = mosaic(*arguments, "--output=json").error
    assert error["code"] == "usage"
    assert expected in error["message"]


def test_no_verb_shows_the_help_and_is_wrong_usage(mosaic: Command) -> None:
    done = mosaic("grant")
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith("Usage: mosaic federation grant")
    assert "suspend  Suspend a grant" in done.err


def test_an_option_before_its_command_is_told_to_follow_it(mosaic: Command) -> None:
    done = mosaic("--home", "x", "plan")
    assert done.code == 64
    assert "write the options of a command after it" in done.err


def test_a_control_character_of_an_argument_is_not_obeyed(mosaic: Command) -> None:
    assert "\x1b" not in mosaic("\x1b[2J").err


def test_without_a_gateway_it_says_how_to_make_one(mosaic: Command) -> None:
    done = mosaic("grant", "list")
    assert (done.code, done.out) == (78, "")
    assert "there is no gateway in" in done.err
    assert "--home DIR" in done.err
    assert "create a gateway here: `mosaic federation init`" in done.err
    assert mosaic("peer", "list", "--output", "json").error["code"] == "home_missing"


def test_a_database_that_is_down_is_told_without_its_password(mosaic: Command) -> None:
    url = "postgresql://owner:hunter2@127.0.0.1:1/gateway"
    for level in ("warning", "debug"):
        done = mosaic("grant", "list", "--log-level", level, MOSAIC_DATABASE_URL=url)
        assert done.code == 1
        reason = "the database gateway on 127.0.0.1 port 1 cannot be reached: Connection refused"
        assert f"error: {reason}\n" in done.err
        assert "hunter2" not in done.err
        assert ("Traceback" in done.err) == (level == "debug")


def test_a_change_says_which_database_it_acts_on_without_its_password(mosaic: Command) -> None:
    write(mosaic.cwd / "m", beta=peer_manifest())
    url = "postgresql://owner:hunter2@127.0.0.1:1/gateway"
    done = mosaic("apply", "m", "--yes", MOSAIC_DATABASE_URL=url)
    assert "acting on the database gateway on 127.0.0.1" in done.err
    assert "hunter2" not in done.err


def test_an_empty_database_needs_its_schema_first(mosaic: Command, empty_database_url: str) -> None:
    variables = {"MOSAIC_DATABASE_URL": empty_database_url}
    done = mosaic("grant", "list", **variables)
    assert done.code == 78
    assert "the database is at migration none" in done.err
    assert "run `mosaic federation db upgrade`" in done.err
    assert mosaic.ok("db", "current", "--output", "json", **variables).document["current"] is None
    mosaic.ok("db", "upgrade", **variables)
    mosaic.ok("db", "upgrade", **variables)
    mosaic.ok("db", "check", **variables)
    assert mosaic.ok("grant", "list", **variables).out == "there are no grants\n"
    assert mosaic.ok("db", "url", **variables).out == f"{empty_database_url}\n"


def test_every_problem_of_the_manifests_is_told_at_once(mosaic: Command) -> None:
    bad = grant_manifest("beta-tasks").replace("list, get", "list, wirte")
    other = grant_manifest("beta-notes", peer="nobody")
    write(mosaic.cwd / "m", beta=peer_manifest(), grant=bad, other=other)
    done = mosaic("validate", "m")
    assert done.code == 1
    assert len(done.out.splitlines()) == 2
    assert "2 problems" in done.err
    document = mosaic("validate", "m", "--output", "json").document
    assert [set(each) for each in document] == [
        {"file", "line", "column", "code", "path", "message", "hint"}
    ] * 2
    annotations = mosaic("validate", "m", "--output", "github").out.splitlines()
    assert annotations[0].startswith(f"::error file=grant.yaml,line={document[0]['line']},col=")
    planned = mosaic("plan", "m")
    assert planned.code == 1
    assert planned.err.splitlines()[:2] == done.out.splitlines()
    error = mosaic("plan", "m", "--output", "json").error
    assert error["code"] == "manifest_invalid"
    assert "validate --output json" in error["hint"]


def test_valid_manifests_need_no_database(mosaic: Command) -> None:
    write(mosaic.cwd / "m", beta=peer_manifest(), grant=grant_manifest("beta-tasks"))
    assert mosaic.ok("validate", "m").out == "valid: 1 peer and 1 grant\n"
    assert mosaic.ok("validate", "m", "--output", "json").document == []
    assert mosaic.ok("validate", "m", "--output", "github").out == ""


@pytest.mark.parametrize("kind", ["peer", "grant", "scope", "openapi"])
def test_schemas_are_printed_as_they_are_checked_in(mosaic: Command, kind: str) -> None:
    name = "openapi.json" if kind == "openapi" else f"{kind}.schema.json"
    assert mosaic.ok("schema", kind).out == (SCHEMAS / name).read_text()


def test_an_unforeseen_error_is_one_line_and_a_traceback_only_where_asked() -> None:
    script = (
        "import sys, reconciler.cli.db.current as it\nfrom reconciler.cli.main import run\n"
        "def broken():\n    raise ZeroDivisionError('a fact\\nDETAIL: a row')\n"
        "it.read_settings = broken\nsys.exit(run(sys.argv[1:]))"
    )
    arguments = [sys.executable, "-c", script, "federation", "db", "current"]
    quiet = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert quiet.returncode == 1
    assert quiet.stderr.splitlines() == [
        "error: internal error: ZeroDivisionError: a fact",
        "  run it again with --log-level debug for the traceback",
    ]
    loud = subprocess.run(
        [*arguments, "--log-level", "debug"], capture_output=True, text=True, check=False
    )
    assert "Traceback (most recent call last)" in loud.stderr
    as_json = subprocess.run(
        [*arguments, "--output", "json"], capture_output=True, text=True, check=False
    )
    assert json.loads(as_json.stderr)["error"]["code"] == "internal"


def test_a_reader_that_goes_away_is_no_error(mosaic: Command) -> None:
    with subprocess.Popen(
        [*COMMAND, "schema", "openapi"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 1
        assert process.stderr.read() == b""


def test_a_loop_without_a_pause_is_wrong_usage(mosaic: Command) -> None:
    done = mosaic("run", "--poll", "0s")
    assert done.code == 64
    assert "'--poll': got '0s', expected 1s or more" in done.err


def test_a_file_to_be_read_that_is_not_there_needs_another_path_and_no_folder(
    mosaic: Command,
) -> None:
    done = mosaic("restore", "missing.backup")
    assert done.code == 1
    assert "missing.backup cannot be read: No such file or directory" in done.err
    assert done.err.splitlines()[-1] == "  check the path"
