"""Layout, hooks, the workflow of a pull request and completion: run as they stand."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from ruamel.yaml import YAML

from reconciler.manifest.formatter import formatted
from reconciler.manifest.load import specs_of
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.project.checkout import ROOT
from tests.support.repositories.repository import Checkout
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.commands.in_process import Quick

LONGEST_PATH: Final = 4095  # octets: PATH_MAX of Linux, less its end
UGLY: Final = """\
# who asked for it

---
apiVersion: federation.mosaicstack.dev/v1
kind: Grant   # theirs
metadata:
    name: a
spec:
    peer: beta
    subjectUserId:  'maria'
    expiresAt: 2036-06-30T00:00:00Z
    scope:
        # what they may see
        resources:
        - type: tasks
          verbs:
          - list
        maxRowsPerQuery: 5   \n\n\n"""
PRETTY: Final = """\
# who asked for it

---
apiVersion: federation.mosaicstack.dev/v1
kind: Grant   # theirs
metadata:
  name: a
spec:
  peer: beta
  subjectUserId: 'maria'
  expiresAt: 2036-06-30T00:00:00Z
  scope:
        # what they may see
    resources:
      - type: tasks
        verbs:
          - list
    maxRowsPerQuery: 5
"""


@pytest.fixture
def path() -> str:
    """A PATH on which `mosaic` is the one of these tests."""
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def test_a_layout_changes_space_alone_and_is_its_own() -> None:
    made = formatted(UGLY)
    assert [line.strip() for line in made.splitlines()] == [
        line.strip() for line in PRETTY.splitlines()
    ]
    assert formatted(made) == made
    assert specs_of(made) == specs_of(UGLY)
    for text in (peer_manifest(), grant_manifest("a"), *examples()):
        assert formatted(formatted(text)) == formatted(text)


def examples() -> list[str]:
    return [path.read_text() for path in sorted((ROOT / "manifests").glob("*.yaml"))]


def test_the_examples_are_laid_out(mosaic: Quick) -> None:
    assert mosaic("fmt", "--check", str(ROOT / "manifests")).code == 0


def test_fmt_checks_shows_and_writes(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", a=UGLY, beta=formatted(peer_manifest()))
    path = mosaic.cwd / "manifests/a.yaml"
    path.chmod(0o640)
    checked = mosaic("fmt", "--check")
    assert checked.code == 1
    assert checked.out == f"{path}\n"
    assert "+  name: a" in mosaic.ok("fmt", "--diff").out
    assert path.read_text() == UGLY
    mosaic.ok("fmt")
    assert path.read_text() == formatted(UGLY)
    assert path.stat().st_mode & 0o777 == 0o640
    assert mosaic.ok("fmt", "--check").out == ""

    path.write_bytes(formatted(UGLY).replace("\n", "\r\n").encode())
    assert mosaic("fmt", "--check").code == 1

    path.write_text(UGLY)
    write(mosaic.cwd / "manifests", bad=UGLY.replace("- list", "- lsit"), worse="kind: x\n")
    bad = mosaic("fmt")
    assert bad.code == 1
    assert "bad.yaml:17:13: error[scope.verb]" in bad.err
    assert "worse.yaml:1:7: error[" in bad.err
    assert path.read_text() == UGLY, "nothing is written where one of them is invalid"
    assert mosaic("fmt", "nowhere").err.startswith("error: nowhere does not exist\n")

    path.write_text(UGLY.replace("Grant   #", "Grant\t#"))
    assert mosaic.ok("fmt", str(path)).out == f"{path}\n"
    assert path.read_text() == formatted(UGLY).replace("Grant   #", "Grant #")

    link = path.with_name("link.yaml")
    link.symlink_to(path.name)
    path.write_text(UGLY)
    assert mosaic.ok("fmt", str(link)).out == f"{link}\n"
    assert link.is_symlink()
    assert path.read_text() == formatted(UGLY)


def test_fmt_that_fails_says_what_is_laid_out_and_what_is_not(mosaic: Quick) -> None:
    folder = mosaic.cwd / "manifests"
    write(folder, **dict.fromkeys(("1", "3", "4"), UGLY))
    full = folder  # to the longest path of all: there is no room for a temporary file in it
    while (room := LONGEST_PATH - len(str(full)) - len("/2.yaml")) > 1:
        full /= "d" * min(250, room - 1)
    write(full, **{"2": UGLY})
    paths = (folder / "1.yaml", full / "2.yaml", folder / "3.yaml", folder / "4.yaml")
    done = mosaic("fmt", *(str(path) for path in paths))
    assert done.code == 1
    assert "Summary: done: 1 file. Failed: " in done.err
    assert "Not attempted: 2 files." in done.err
    assert done.err.count("cannot be written: File name too long") == 1


def test_the_hooks_do_what_they_say(mosaic: Quick, path: str) -> None:
    hooks = {
        hook["id"]: hook
        for hook in YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text())
    }
    write(mosaic.cwd / "manifests", a=UGLY, beta=formatted(peer_manifest()))

    def run(hook: str, *names: str) -> int:
        entry = [*shlex.split(hooks[hook]["entry"]), *hooks[hook].get("args", [])]
        given = names if hooks[hook].get("pass_filenames", True) else ()
        done = subprocess.run(
            [*entry, *given], cwd=mosaic.cwd, env={"PATH": path}, check=False, timeout=PATIENCE_S
        )
        return done.returncode

    assert run("mosaic-validate", "manifests/a.yaml") == 0
    assert run("mosaic-fmt", "manifests/a.yaml") == 0
    assert (mosaic.cwd / "manifests/a.yaml").read_text() == formatted(UGLY)
    write(mosaic.cwd / "manifests", a=UGLY.replace("- list", "- lsit"))
    assert run("mosaic-validate", "manifests/a.yaml") == 1
    assert run("mosaic-fmt", "manifests/a.yaml") == 1


@contextmanager
def forge(received: list[Any]) -> Iterator[str]:
    """A forge's API as far as a comment goes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listed = [{"id": n, "body": body} for n, (*_, body) in enumerate(received)]
            self._answer([{"id": 77, "body": "looks good"}, *listed])

        def do_POST(self) -> None:
            self._take()

        def do_PATCH(self) -> None:
            self._take()

        def _take(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
            seen = (self.command, self.path, self.headers["Authorization"], body)
            received.append(seen)
            self._answer({"id": len(received)})

        def _answer(self, document: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_workflow_plans_comments_and_applies(mosaic: Quick, path: str, tmp_path: Path) -> None:
    workflow = YAML(typ="safe").load((ROOT / "examples/ci/federation.yml").read_text())
    checkout = Checkout.make(tmp_path / "clone")
    checkout.write(beta=formatted(peer_manifest()), a=formatted(UGLY))
    checkout.commit("a pull request")
    received: list[Any] = []

    def steps(job: str, **variables: str) -> dict[str, int]:
        """Run the commands of a job as a runner does: bash, -e, one folder, until one fails."""
        env = {"PATH": path, "MOSAIC_SOURCE": "manifests", **variables}
        env["MOSAIC_DATABASE_URL"] = mosaic.variables["MOSAIC_DATABASE_URL"]
        codes: dict[str, int] = {}
        for step in workflow["jobs"][job]["steps"]:
            if "run" in step and not any(codes.values()):
                command = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
                done = subprocess.run(
                    command, cwd=checkout.path, env=env, check=False, timeout=PATIENCE_S
                )
                codes[step["name"]] = done.returncode
        return codes

    with forge(received) as api:
        values = {"API": f"{api}/repos/o/r/issues", "NUMBER": "7", "TOKEN": "secret"}
        assert set(steps("plan", **values).values()) == {0}
        ((*asking, comment),) = received
        assert asking == ["POST", "/repos/o/r/issues/7/comments", "Bearer secret"]
        assert comment.startswith("<!-- mosaic federation plan -->\n### Plan: 2 to add")
        assert mosaic.statuses() == {}
        assert steps("apply") == {"apply": 0}
        assert mosaic.statuses() == {"a": "pending"}

        for name in ("beta", "a"):
            (checkout.path / f"manifests/{name}.yaml").unlink()
        refused = steps("plan", **values)
        assert refused["comment, in the place of an earlier one"] == 0, "a reviewer sees why"
        assert refused["refuse what the guard refuses"] == 3
        how, where, _, body = received[-1]
        assert (how, where) == ("PATCH", "/repos/o/r/issues/comments/0")
        assert body.splitlines()[1].startswith("### Plan refused: ")

        checkout.write(a=UGLY.replace("- list", "- lsit"))
        assert steps("plan", **values) == {"the command": 0, "validate": 1}


@pytest.mark.parametrize("words", ["federation pl", "federation plan --sa", "federation gr"])
def test_a_shell_completes_without_loading_what_the_verbs_need(
    mosaic: Quick, path: str, words: str
) -> None:
    *before, incomplete = ["mosaic", *words.split()]
    env = {
        "PATH": path,
        "_MOSAIC_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join([*before, incomplete]),
        "COMP_CWORD": str(len(before)),
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    done = subprocess.run(["mosaic"], env=env, capture_output=True, text=True, check=False)
    wanted = {"pl": "plan", "--sa": "--save", "gr": "grant"}[incomplete]
    assert f"plain,{wanted}" in done.stdout.splitlines()
    if incomplete != "--sa":
        assert "sqlalchemy" not in done.stderr


def test_completion_is_bash(mosaic: Quick, path: str) -> None:
    script = mosaic.ok("completion", "bash").out
    done = subprocess.run(
        ["bash", "-c", f"{script}\ncomplete -p mosaic"],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "mosaic" in done.stdout, done.stderr
