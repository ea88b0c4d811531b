"""The compose files, judged by the schema of the Compose specification, as Compose v2 does.

That docker-compose takes them too is what `make test-compose` shows, which brings them up.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from reconciler.core.privileges import COMMAND_LINE, Role
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


LOGINS: Final = {"gateway": Role.GATEWAY, "reconciler": Role.OPERATOR, "cli": COMMAND_LINE}


@pytest.mark.parametrize(("path", "prefix"), [*zip(FILES, ("", "beta-"), strict=True)])
def test_each_service_has_the_login_of_its_role_and_no_other(path: Path, prefix: str) -> None:
    services = read(path)["services"]
    init = services[f"{prefix}init"]
    mounts = {each.split(":")[1]: each.split(":")[0] for each in init["volumes"]}
    for name, login in LOGINS.items():
        service = services[prefix + name]
        folder = f"/var/lib/mosaic/logins/{login}"
        assert f"--login={folder}" in init["command"]
        assert service["environment"]["MOSAIC_DATABASE_URL_FILE"] == f"{folder}/database-url"
        named = [each for each in service["volumes"] if "-login:" in each]
        assert named == [f"{mounts[folder]}:{folder}:ro"]
        assert "secrets" not in service
    holders = [
        name for name, each in services.items() if "database-url" in str(each.get("secrets"))
    ]
    assert holders == [f"{prefix}init"]


def test_checkpoints_are_on_a_volume_that_the_loop_alone_writes() -> None:
    services = read(ROOT / "compose/docker-compose.federated.yml")["services"]
    for name, mode in (("reconciler", ""), ("cli", ":ro")):
        folder = services[name]["environment"]["MOSAIC_CHECKPOINT_DIR"]
        assert f"checkpoints:{folder}{mode}" in services[name]["volumes"]
    holders = [name for name, each in services.items() if "checkpoints:" in str(each)]
    assert holders == ["reconciler", "cli"]


def test_the_image_has_the_folders_that_volumes_take_their_owner_from() -> None:
    text = (ROOT / "compose/Dockerfile").read_text()
    names = ["checkpoints", *(f"logins/{login}" for login in LOGINS.values())]
    assert all(f"/out/{name}" in text for name in names)
