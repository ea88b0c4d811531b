"""A release: the same bytes each time, with what it is made of in an SBOM."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.packaging

VERSION: Final = metadata.version("mosaic-federation")
NAME: Final = f"mosaic_federation-{VERSION}"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def sbom(release: Path) -> Any:
    return json.loads((release / f"{NAME}.spdx.json").read_text())


def built(folder: Path, umask: int = 0o022, **variables: str) -> Path:
    """Build a release into a folder."""
    words = ["sh", str(ROOT / "tools/dist.sh"), str(folder)]
    environ = {**os.environ, **variables}
    subprocess.run(words, env=environ, umask=umask, capture_output=True, check=True)
    return folder


def commit() -> str:
    words = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_a_release_that_is_built_again_has_the_same_bytes(release: Path, tmp_path: Path) -> None:
    """Built over the one before, by a user whose git converts ends of lines."""
    (tmp_path / ".gitconfig").write_text("[core]\nautocrlf = true\n[tar]\numask = 077\n")
    other = shutil.copytree(release, tmp_path / "other")
    again = built(other, umask=0o077, TZ="Asia/Tokyo", LC_ALL="C", HOME=str(tmp_path))
    files = sorted(each.name for each in release.iterdir())
    assert files == [
        f"{NAME}-py3-none-any.whl",
        f"{NAME}.requirements.txt",
        f"{NAME}.sha256",
        f"{NAME}.spdx.json",
        f"{NAME}.tar.gz",
    ]
    for name in files:
        assert (again / name).read_bytes() == (release / name).read_bytes(), name


def test_wheel_and_source_know_their_commit(release: Path) -> None:
    with zipfile.ZipFile(release / f"{NAME}-py3-none-any.whl") as wheel:
        assert wheel.read("reconciler/_data/commit").decode() == f"{commit()}\n"
    with tarfile.open(release / f"{NAME}.tar.gz") as source:
        file = source.extractfile(f"{NAME}/COMMIT")
        assert file is not None
        assert file.read().decode() == f"{commit()}\n"
        assert f"{NAME}/compose/images.env" in source.getnames()


def test_the_sbom_has_every_pin_with_its_hashes(release: Path, sbom: Any) -> None:
    pinned = (release / f"{NAME}.requirements.txt").read_text()
    versions = dict(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", pinned, re.MULTILINE))
    assert len(versions) > 20
    main, *others = sbom["packages"]
    assert {each["name"]: each["versionInfo"] for each in others} == versions
    hashes = {hash_["checksumValue"] for each in others for hash_ in each["checksums"]}
    assert hashes == set(re.findall("sha256:([0-9a-f]{64})", pinned))
    wheel = (release / main["packageFileName"]).read_bytes()
    assert [each["checksumValue"] for each in main["checksums"]] == [
        hashlib.sha256(wheel).hexdigest()
    ]


def test_the_sbom_is_whole_by_spdx_2_3(sbom: Any) -> None:
    assert (sbom["spdxVersion"], sbom["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", sbom["creationInfo"]["created"])
    ids = [each["SPDXID"] for each in sbom["packages"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("SPDXRef-[A-Za-z0-9.-]+", each) for each in ids)
    purls = {each["externalRefs"][0]["referenceLocator"] for each in sbom["packages"]}
    assert f"pkg:pypi/mosaic-federation@{VERSION}" in purls
    described = {
        (each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"])
        for each in sbom["relationships"]
    }
    assert ("SPDXRef-DOCUMENT", "DESCRIBES", ids[0]) in described
    assert {(ids[0], "DEPENDS_ON", each) for each in ids[1:]} <= described


def test_every_image_that_ours_is_built_from_is_pinned_by_its_digest() -> None:
    dockerfile = (ROOT / "compose/Dockerfile").read_text()
    pins = dict(
        line.split("=", 1)
        for line in (ROOT / "compose/images.env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    defaults = dict(re.findall(r"^ARG ([A-Z_]+_IMAGE)=(\S+)$", dockerfile, re.MULTILINE))
    assert set(re.findall(r"^FROM \$\{([A-Z_]+)\}", dockerfile, re.MULTILINE)) == pins.keys()
    assert len(re.findall("^FROM ", dockerfile, re.MULTILINE)) == 2
    for name, pin in pins.items():
        image, _, digest = pin.partition("@sha256:")
        assert defaults[name] == image
        assert re.fullmatch("[0-9a-f]{64}", digest)


def test_the_image_is_built_from_the_digests_of_the_file(tmp_path: Path) -> None:
    """The engine is told them; one that answers is not needed for that."""
    program, words = tmp_path / "docker", tmp_path / "words"
    program.write_text(f'#!/bin/sh\ncat >/dev/null\nprintf "%s\\n" "$@" >{words}\n')
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(ROOT / "tools/image.sh")], env=environ, check=True)
    told = words.read_text().split("\n")
    pins = (ROOT / "compose/images.env").read_text()
    for pin in re.findall(r"^[A-Z_]+=.*$", pins, re.MULTILINE):
        assert pin in told
    assert f"MOSAIC_COMMIT={commit()}" in told
    assert f"mosaic-federation:{VERSION}" in told


def test_the_version_comes_from_one_place() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert re.findall(r'^version = "(.*)"$', text, re.MULTILINE) == [VERSION], "type: make setup"
    assert f"rev: v{VERSION}" in (ROOT / "docs/everyday.md").read_text()


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, newest, *_ = re.findall("^## (.*)$", text, re.MULTILINE)
    assert unreleased == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d", newest)
