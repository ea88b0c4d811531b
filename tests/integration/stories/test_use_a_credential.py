"""What the docs show of using a credential works as it stands, and takes a renewed one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.gateways.service import service
from tests.support.project import checkout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gateways.holder import Holder
    from tests.support.gateways.service import Service

PAGE: Final = checkout.ROOT / "docs" / "use-a-credential.md"


def block(language: str, number: int = 0) -> str:
    """Return a block of the page."""
    text: str = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)[number]
    return text


@pytest.fixture
def called(tmp_path: Path, holder: Holder) -> Iterator[Service]:
    with service(tmp_path, holder.alpha.authority.material.root) as running:
        yield running


def python(folder: Path) -> list[str]:
    script = folder / "client.py"
    script.write_text(block("python"))
    return [sys.executable, str(script)]


def node(folder: Path) -> list[str]:
    script, program = folder / "client.mjs", shutil.which("node")
    assert program is not None, "there is no node: `make test` installs it"
    script.write_text(block("js"))
    return [program, str(script)]


def go(folder: Path) -> list[str]:
    source, program = folder / "client.go", shutil.which("go")
    assert program is not None, "there is no go: `make test` installs it"
    source.write_text(block("go"))
    offline = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off", "GO111MODULE": "off"}
    built = str(folder / "client")
    subprocess.run([program, "build", "-o", built, source], env=os.environ | offline, check=True)
    return [built]


@pytest.mark.parametrize("make", [python, node, go])
def test_a_client_takes_a_renewed_credential_without_a_restart(
    make: object, holder: Holder, called: Service, tmp_path: Path
) -> None:
    assert callable(make)
    assert holder.release().code == 0
    words = [*make(tmp_path), str(holder.folder), str(called.roots)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for renewed in (False, True):
            before = holder.serial()
            if renewed:
                holder.renew()
                assert holder.release().code == 0
                assert holder.serial() != before
            client.stdin.write(f"{called.url}\n")
            assert client.stdout.readline().strip() == holder.serial()
        client.stdin.close()
        assert client.wait(60) == 0
