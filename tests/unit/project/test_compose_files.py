"""The compose files, judged by the schema of the Compose specification, as Compose v2 does.

That docker-compose takes them too is what `make test-compose` shows, which brings them up.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# of compose-go v2.16.2 (Apache-2.0), as it is
SCHEMA: Final = json.loads((ROOT / "tests/compose/compose-spec.json").read_text())
FILES: Final = sorted(
    file
    for folder in ("compose", "tests/compose")
    for file in (ROOT / folder).glob("docker-compose.*.yml")
)


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_valid_by_the_compose_specification(path: Path) -> None:
    problems = Draft202012Validator(SCHEMA).iter_errors(read(path))
    assert [f"{each.json_path}: {each.message}" for each in problems] == []


def test_the_schema_refuses_what_is_none() -> None:
    document = read(FILES[0])
    document["services"]["gateway"]["memlimit"] = "1g"
    assert not Draft202012Validator(SCHEMA).is_valid(document)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_service_gives_up_what_it_does_not_need(path: Path) -> None:
    document = read(path)
    whole = {name: each for name, each in document["services"].items() if "image" in each}
    for name, service in whole.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert "latest" not in service["image"] or "MOSAIC_VERSION" in service["image"], name
    published = [name for name, each in document["services"].items() if "ports" in each]
    assert published == (["proxy"] if "proxy" in whole else [])
