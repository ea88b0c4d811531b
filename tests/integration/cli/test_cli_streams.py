"""Outputs that are closed, full or in another encoding, and words that are not UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.applied_source import applied_source
from tests.support.commands.process import COMMAND, write
from tests.support.gateways.enrollee import peer_manifest
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.in_process import Quick

LATIN1 = os.fsdecode(b"M\xfcnchen")


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory, shared_database_url: str) -> Quick:
    return applied_source(tmp_path_factory.mktemp("shell"), shared_database_url)


def bash(mosaic: Quick, line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `mosaic` is the program, as a person would type it."""
    program = " ".join(COMMAND[:-1])
    return subprocess.run(
        ["bash", "-c", f'mosaic() {{ {program} "$@"; }}\n{line}'],
        cwd=mosaic.cwd,
        env=mosaic.environ(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_no_output_carries_a_control_whatever_prints_it(tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x9b2J\u202e\u2028\r"
    program = (
        "import click; from reconciler.cli.terminal.streams import open_streams; open_streams();"
        f" [click.echo({hostile!r} + '\\tred\\n', err=err, color=True) for err in (False, True)]"
    )
    done = subprocess.run(
        [*COMMAND[:1], "-c", program],
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout == done.stderr
    assert done.stdout.decode() == "\\x1b]0;owned\\x07\\x9b2J\\u202e\\u2028\\r\tred\n\n"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("grant show $'\\xff'", "argument 4"),
        ("grant suspend a --reason $'Ticket \\xfc'", "--reason"),
        ("grant suspend a --reason=$'Ticket \\xfc'", "--reason"),
        ("history grant/$'\\xff'", "argument 3"),
        ("plan $'m\\xff'", "argument 3"),
        ("plan --target grant/$'\\xff'", "--target"),
        ("plan --save $'plan\\xff'", "--save"),
        ("explain serial $'\\xff'", "argument 4"),
        ("$'\\xff'", "argument 2"),
        ("status --home $'\\xff'", "--home"),
    ],
)
def test_an_argument_that_is_not_utf8_is_named_and_wrong_usage(
    mosaic: Quick, line: str, name: str
) -> None:
    done = bash(mosaic, f"mosaic federation {line}")
    error = done.stderr.decode().splitlines()[0]
    assert done.returncode == 64
    assert error.startswith(f"error: {name}: got '"), error
    assert error.endswith("which is not UTF-8 text")
    assert done.stdout == b""


@pytest.mark.parametrize("options", ["", "-o json", "-ojson", "--output=json"])
def test_a_variable_that_is_not_utf8_is_named(mosaic: Quick, options: str) -> None:
    done = bash(mosaic, f"MOSAIC_REF=$'\\xff' mosaic federation grant list {options}")
    assert done.returncode == 64
    message = "MOSAIC_REF: got '\\xff', which is not UTF-8 text"
    if options:
        assert json.loads(done.stderr)["error"]["message"] == message
    else:
        assert done.stderr.decode().startswith(f"error: {message}\n")


def test_standard_input_and_files_that_are_not_utf8_are_wrong_usage(mosaic: Quick) -> None:
    scope = mosaic.cwd / "scope.json"
    scope.write_bytes(b'{"resources":\n [{"type": "tasks", "filter": {"teams": ["m\xfcnchen"]}}]}')
    create = "mosaic federation grant create x --peer beta --subject-user m --expires 1d"
    for given in ("--scope - <scope.json", "--scope scope.json"):
        done = bash(mosaic, f"{create} {given}")
        assert done.returncode == 64
        assert done.stderr.startswith(b"error: --scope: ")
        assert b"got the byte 0xfc in line 2, which is not UTF-8 text" in done.stderr
    done = bash(mosaic, "mosaic federation peer add - <scope.json")
    assert done.returncode == 64
    assert done.stderr.startswith(b"error: INVITATION: standard input: got the byte 0xfc")
    assert mosaic.statuses().keys() == {"a", "b", "c", "d"}


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("verb", ["grant list", "status", "plan", "version", "--help"])
def test_a_stream_that_is_closed_is_quiet(mosaic: Quick, verb: str, closed: str) -> None:
    done = bash(mosaic, f"mosaic federation {verb} {closed}")
    assert done.returncode == 0, done.stderr
    assert b"error" not in done.stderr + done.stdout
    assert b"Traceback" not in done.stderr


def test_a_change_with_closed_streams_is_made_once_and_whole(mosaic: Quick) -> None:
    done = bash(mosaic, "mosaic federation grant suspend a --reason r <&- >&- 2>&-")
    assert done.returncode == 0
    assert mosaic.grant("a")["status"] == "pending"
    assert mosaic.grant("a")["hold"]["reason"] == "r"
    mosaic.ok("grant", "resume", "a")


@pytest.mark.parametrize("verb", ["grant list", "plan", "grant list -o json", "--help"])
def test_who_reads_the_first_line_alone_is_no_failure_to_tell(mosaic: Quick, verb: str) -> None:
    done = bash(mosaic, f"set -o pipefail; mosaic federation {verb} | head -1")
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


@pytest.mark.parametrize(
    "verb", ["grant list", "plan", "version", "--help", "schema grant", "export", "db url"]
)
def test_a_full_disk_below_standard_output_is_one_clear_line(mosaic: Quick, verb: str) -> None:
    done = bash(mosaic, f"mosaic federation {verb} >/dev/full")
    assert done.returncode == 1
    first, *_ = done.stderr.decode().splitlines()
    assert first == "error: standard output cannot be written: No space left on device"
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_full_disk_below_standard_error_stops_nothing(mosaic: Quick) -> None:
    done = bash(mosaic, "mosaic federation grant suspend b -o json 2>/dev/full")
    assert done.returncode == 0
    assert json.loads(done.stdout)["hold"]["kind"] == "suspend"
    mosaic.ok("grant", "resume", "b")
    assert bash(mosaic, "mosaic federation grant show nobody 2>/dev/full").returncode == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "iso8859-15", "cp1252", "utf-16"])
def test_output_survives_any_encoding(mosaic: Quick, encoding: str) -> None:
    variables = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    reason = "M\N{LATIN SMALL LETTER U WITH DIAERESIS}nchen \N{SNOWMAN} \N{GRINNING FACE}"
    mosaic.ok("grant", "suspend", "c", "--reason", reason)
    for verb in ("grant list", "plan", "status", "--help", "grant show nobody"):
        done = bash(mosaic, f"mosaic federation {verb}", **variables)
        assert done.returncode == (1 if "nobody" in verb else 0), done.stderr
    result = bash(mosaic, "mosaic federation grant show c -o json", **variables)
    text = result.stdout.decode("utf-16" if encoding == "utf-16" else "utf-8")
    assert json.loads(text)["hold"]["reason"] == reason
    mosaic.ok("grant", "resume", "c")


def test_the_c_locale_is_no_obstacle(mosaic: Quick) -> None:
    done = bash(mosaic, "mosaic federation plan", LANG="C", LC_ALL="C", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr


def test_a_locale_of_another_encoding_changes_no_path(mosaic: Quick, tmp_path: Path) -> None:
    """Python without its UTF-8 mode takes the C locale for one of ASCII, as it does Latin-1."""
    source = tmp_path / "Größe"
    write(source, beta=peer_manifest())
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = bash(mosaic, f"cd {source} && mosaic federation validate . nowhere", **locale)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == rb"error: nowhere does not exist"
    done = bash(
        mosaic, f"cd {source} && mosaic federation validate", MOSAIC_SOURCE=str(source), **locale
    )
    assert (done.returncode, done.stdout) == (0, b"valid: 1 peer and 0 grants\n")


def test_a_folder_whose_name_is_not_utf8_is_told(mosaic: Quick, tmp_path: Path) -> None:
    (tmp_path / LATIN1).mkdir()
    done = bash(mosaic, f"cd {tmp_path}/$'M\\xfcnchen' && mosaic federation plan .")
    assert done.returncode == 64
    assert b"the working directory: got" in done.stderr
    assert b"is not UTF-8" in done.stderr
    assert b"internal" not in done.stderr


def test_a_folder_that_is_gone_is_told(mosaic: Quick, tmp_path: Path) -> None:
    line = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone"
    for verb in ("plan", "destroy"):
        done = bash(mosaic, f"{line} && mosaic federation {verb}")
        assert done.returncode == 64
        assert done.stderr.startswith(b"error: the working directory cannot be read: ")
        assert b"change to a folder that exists" in done.stderr


SCOPE = """'{"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 5}'"""


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (f"grant create y --peer beta --subject-user m --expires 1d --scope {SCOPE}", "y.yaml"),
        ("rename grant/d z", "d.yaml"),
        ("plan --save plan.json", "plan.json"),
        ("audit checkpoint head", "head"),
        ("export out", "out/peers/beta.yaml"),
        ("keys add", ".key"),
    ],
)
def test_a_file_that_cannot_be_written_is_named_and_nothing_is_changed(
    mosaic: Quick, line: str, path: str
) -> None:
    mosaic.ok("plan", "--save", "earlier.json")  # makes the key that seals plans
    before = (mosaic.statuses(), mosaic.manifests(), mosaic.manifests("manifests/grants"))
    done = bash(mosaic, f"ulimit -f 0; mosaic federation {line}")
    assert done.returncode == 1, done.stderr
    error, hint = done.stderr.decode().splitlines()[-2:]
    assert path in error
    assert "File too large" in error
    assert hint.strip().startswith("free some space there")
    assert ".mosaic-" not in error
    after = (mosaic.statuses(), mosaic.manifests(), mosaic.manifests("manifests/grants"))
    assert after == before


def test_debugging_shows_what_an_error_was_raised_for_and_no_secret(mosaic: Quick) -> None:
    done = bash(mosaic, "mosaic federation plan missing -v")
    assert b"FileNotFoundError: [Errno 2] No such file or directory" in done.stderr
    url = mosaic.variables["MOSAIC_DATABASE_URL"]
    secret = url.partition(":")[2].partition("@")[0].rpartition(":")[2]
    assert len(secret) > 10
    wrong = url.replace("/test_", "/nowhere_").encode()
    refused = bash(mosaic, "mosaic federation plan -v", MOSAIC_DATABASE_URL=wrong.decode())
    assert refused.returncode == 78
    assert b"Traceback" in refused.stderr
    assert b"nowhere_" in refused.stderr
    assert secret.encode() not in refused.stderr
    token = "mosf1_" + "a" * 16 + "_" + "s" * 43 + "_00000000"
    invitation = f"https://127.0.0.1:1/federation/v1/enroll#token={token},ca=sha256:{'0' * 64}"
    tried = bash(mosaic, f"mosaic federation peer add '{invitation}' -v")
    assert tried.returncode == 1
    assert b"s" * 43 not in tried.stderr
