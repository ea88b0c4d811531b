"""Files that mean harm: they are refused in a line, in no time, and nothing crashes."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.source import MAX_FILE
from reconciler.manifest.consistency import MOST_COMPARED
from tests.support.manifests.text import GRANT, PEER, loaded, problems
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

FULL: Final = MAX_FILE
SECONDS: Final = 10.0  # of a core, under coverage; they take less than one


def problem_lines(**files: str | bytes) -> list[str]:
    return [str(each) for each in problems(**files)]


def nested(depth: int) -> str:
    """Return a mapping whose value is so many lists inside one another."""
    return PEER + "x: " + "[" * depth + "]" * depth + "\n"


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "---\n", "---\n---\n...\n", "\ufeff", "  \n#\n", "''"]
)
def test_a_file_without_a_manifest_is_an_error(text: str) -> None:
    (result,) = problem_lines(a=text, b=PEER)
    assert "[file.empty]" in result or "[field.type]" in result


def test_an_empty_file_says_why_it_is_an_error() -> None:
    assert problem_lines(a="") == [
        (
            "a.yaml:1:1: error[file.empty] the file holds no manifest"
            " (a file that an editor cut short must revoke nothing; delete the file to remove it)"
        )
    ]


def test_empty_documents_beside_manifests_are_nothing() -> None:
    text = f"---\n# head\n---\n{PEER}---\n{GRANT}---\n"
    desired = loaded(a=text)
    assert desired.peers[0].place.line == 6
    assert desired.grants[0].place.line == 12


@pytest.mark.parametrize(
    "text",
    [
        PEER.replace("\n", "\r\n"),
        "\ufeff" + PEER,
        "%YAML 1.2\n---\n" + PEER,
        PEER.rstrip(),
        (
            '{"apiVersion": "federation.mosaicstack.dev/v1", "kind": "Peer",'
            ' "metadata": {"name": "beta"}, "spec": {"direction": "inbound"}}'
        ),
    ],
    ids=["crlf", "bom", "directive", "no last newline", "json"],
)
def test_other_spellings_of_a_manifest_are_read(text: str) -> None:
    assert loaded(a=text).peers[0].name == "beta"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (PEER.encode("utf-16"), "1:1"),
        (PEER.encode("utf-16-le")[:-1] + b"\xff", ""),
        (b"a: b\nc: \xff\n", "2:4"),
        (b"a: \xc3\xbc\xed\xa0\x80", "1:5"),
        (b"\xff", "1:1"),
    ],
)
def test_what_is_not_utf8_is_told_at_its_place(content: bytes, place: str) -> None:
    (result,) = problem_lines(a=content)
    if place:
        expected = "error[yaml.encoding] the file is not UTF-8 (save it as UTF-8)"
        assert result == f"a.yaml:{place}: {expected}"


@pytest.mark.parametrize("depth", [18, 19])
def test_depth_up_to_20_is_read(depth: int) -> None:
    (result,) = problem_lines(a=nested(depth))
    assert "error[field.unknown] x:" in result


@pytest.mark.parametrize("depth", [20, 21, 1000])
def test_depth_over_20_is_refused_where_it_begins(depth: int) -> None:
    text = problem_lines(a=nested(depth))
    assert len(text) == 1
    column = len("x: ") + 20
    assert text[0].startswith(f"a.yaml:5:{column}: error[yaml.depth] x[0]")


HOSTILE: Final = {
    "50,000 brackets": "[" * 50_000,
    "250,000 brackets": "[" * 250_000,
    "250,000 braces": "{" * 250_000,
    "50,000 mappings": '{"a":' * 50_000,
    "130,000 dashes": "- " * 130_000,
    "130,000 question marks": "? " * 130_000,
    "brackets below a key": "a: " + "[" * 250_000,
    "brackets, then a syntax error": "]" + "[" * 250_000,
    "doubled keys": "a: 1\n" * (FULL // 5),
    "empty values": "a: \n" * (FULL // 4),
    "a flat list": "- \n" * (FULL // 3),
    "pairs of brackets": "[]" * (FULL // 2),
    "a flat flow list": "[" + "a," * (FULL // 2 - 2) + "]",
    "unknown keys": PEER + "".join(f"k{n:05}: 1\n" for n in range(FULL // 11)),
    "keys that are nearly known": PEER + "".join(f"kinx{n:05}: 1\n" for n in range(FULL // 15)),
    "aliases": PEER + "".join(f"k{n:05}: *a\n" for n in range(FULL // 12)),
    "anchors": PEER + "".join(f"k{n:05}: &a 1\n" for n in range(FULL // 14)),
    "tags": PEER + "".join(f"k{n:05}: !t 1\n" for n in range(FULL // 14)),
    "documents": "---\na\n" * (FULL // 6),
    "empty documents": "---\n" * (FULL // 4),
    "a long text": "x: " + "a" * (FULL - 10),
    "a long key": "a" * (FULL - 10) + ": 1",
    "a long unknown key": PEER + '"' + "k" * (FULL - 200) + '": 1',
    "a long name": PEER.replace("beta", "b" * (FULL - 200)),
    "a long lifetime": GRANT + "  certificate: {lifetime: " + "999999d" * 30_000 + "}",
    "a long time": GRANT.replace("2036", "2" * (FULL - 400)),
    "a long number": GRANT.replace("500", "5" * (FULL - 400)),
    "a long exponent": GRANT.replace("500", "1e" + "9" * (FULL - 400)),
    "many verbs": GRANT.replace("[list, get]", "[" + "list," * 50_000 + "]"),
    "many teams": GRANT.replace(
        "[list, get]}", "[list], filter: {teams: [" + ",".join(map(str, range(40_000))) + "]}}"
    ),
    "many resources": GRANT.replace(
        "      - {type: tasks, verbs: [list, get]}\n",
        "".join("      - {type: tasks, verbs: [get]}\n" for _ in range(FULL // 40)),
    ),
    "many labels": PEER.replace(
        "beta}", "beta, labels: {" + ",".join(f"k{n}: v" for n in range(25_000)) + "}}"
    ),
    "colons in braces": "a: [x:y]\n" * (FULL // 9) + "]",
    "colons in braces, small": "a: [x:y]\n" * 7000 + "]",
    "blank lines": "\n" * FULL,
    "spaces": " " * FULL,
    "comments": "#\n" * (FULL // 2),
    "quotes": "'" * FULL,
    "backslashes": '"' + "\\n" * (FULL // 2 - 1) + '"',
    "percent signs": "%x\n" * (FULL // 3),
    "carriage returns": "\r" * FULL,
    "zeros": "\0" * FULL,
    "billion laughs": "a: &a [x]\n"
    + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_no_time(name: str) -> None:
    began = time.thread_time()
    reports = problems(a=HOSTILE[name])
    assert time.thread_time() - began < SECONDS
    for each in reports[:1000]:
        assert len(str(each)) < 1000
        assert str(each).isprintable()


def test_peers_that_are_not_there_are_compared_with_others_only_so_often() -> None:
    peers = "---\n".join(PEER.replace("beta", f"peer-{n}") for n in range(200))

    def hinted(missing: Iterable[str]) -> int:
        grants = (
            GRANT.replace("beta-tasks", f"g{n}").replace("beta", peer)
            for n, peer in enumerate(missing)
        )
        reports = problems(grants="---\n".join(grants), peers=peers)
        return sum("did you mean" in each.hint for each in reports)

    assert hinted(f"pear-{n}" for n in range(300)) == MOST_COMPARED // 200
    assert hinted("pear-1" for _ in range(300)) == 300


@pytest.mark.parametrize("name", ["50,000 brackets", "250,000 brackets", "50,000 mappings"])
def test_brackets_do_not_crash_the_process(name: str) -> None:
    program = (
        "import sys; from tests.support.manifests.text import source; from reconciler.errors import"
        " InvalidManifests; from reconciler.manifest.load import load\n"
        "try:\n    load(source(a=sys.stdin.read()))\n"
        "except InvalidManifests as error:\n    print(error.problems[0].code)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        input=HOSTILE[name],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "yaml.depth\n"), ran.stderr


def test_a_name_cannot_write_to_a_terminal() -> None:
    texts = (
        PEER.replace("inbound", '"\\e[31mred"'),
        PEER + '"\\e]0;title\\a": 1\n',
        PEER + '"a\\u202eb": 1\n"a\\u202eb": 2\n',
        PEER.replace("kind: Peer", 'kind: "\\e[2J"'),
        PEER.replace("beta", '"\\e[2J"'),
        PEER.replace("inbound", '!<\\e> "x"'),
        GRANT.replace("2036-06-30", '"\\e[2J"'),
        GRANT.replace("2036-06-30T00:00:00Z", '"\\e[2J"'),
        GRANT.replace("tasks,", '"\\e[2J",'),
    )
    for text in texts:
        for item in problem_lines(a=text):
            assert item.isprintable()


def test_an_anchor_in_an_empty_document_is_told() -> None:
    assert "[yaml.anchor]" in "".join(problem_lines(a=f"--- &a\n---\n{PEER}"))
