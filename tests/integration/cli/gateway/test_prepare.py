"""`prepare`: all that a gateway outside a home needs, made once, and never made twice."""

from __future__ import annotations

import base64
import json
import re
import shutil
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from tests.support.commands.process import Command, Ended
from tests.support.project.checkout import ROOT
from tests.support.project.kubernetes import FOLDER, documents, pods_of, problem_of, render

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = ROOT / "docs" / "kubernetes.md"
FOLDERS: Final = ("ca", "keys", "logins", "provisioners", "root-key", "secrets", "trust")


@pytest.fixture
def shell(tmp_path: Path, empty_database_url: str) -> Command:
    return Command(
        tmp_path,
        {
            "MOSAIC_DATABASE_URL": empty_database_url,
            "MOSAIC_PUBLIC_URL": "https://alpha.example",
            "MOSAIC_CA_URL": "https://step-ca:9000",
            "MOSAIC_CA_ROOT": "trust/root_ca.crt",
            "MOSAIC_CA_PROVISIONERS": "provisioners",
            "MOSAIC_KEYRING": "keys",
            "MOSAIC_TOKEN_PEPPER_FILE": "secrets/token-pepper",
        },
    )


def prepare(shell: Command, **variables: str) -> Ended:
    (shell.cwd / "trust").mkdir(exist_ok=True)
    arguments = ("--ca-dir", "ca", "--seen-as", "/home/step", "--address", ":9000")
    return shell("prepare", *arguments, **variables)


def prepare_secrets(shell: Command, **variables: str) -> Ended:
    return shell("prepare", "--ca-dir", "ca", "--output", "k8s-secrets", **variables)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_prepare_makes_keys_authority_and_schema(shell: Command) -> None:
    done = prepare(shell)
    assert done.code == 0, done.err
    config = json.loads((shell.cwd / "ca/ca.json").read_text())
    assert config["root"] == "/home/step/root_ca.crt"
    assert config["address"] == ":9000"
    assert config["dnsNames"] == ["step-ca", "localhost"]
    trusted = (shell.cwd / "trust/root_ca.crt").read_bytes()
    assert trusted == (shell.cwd / "ca/root_ca.crt").read_bytes()
    assert not (shell.cwd / "ca/root_ca_key").exists()
    assert (shell.cwd / "root-key/root_ca_key").stat().st_mode & 0o777 == 0o400
    assert (shell.cwd / "secrets/token-pepper").stat().st_mode & 0o777 == 0o400
    keys = shell.document("keys", "status")
    assert [(key["primary"], key["sealed"]) for key in keys] == [(True, 0)]


def test_prepare_makes_the_key_of_saved_plans_also_beside_older_keys(shell: Command) -> None:
    assert prepare(shell).code == 0
    key = shell.cwd / "keys/plan-mac-key"
    assert key.stat().st_mode & 0o777 == 0o400
    key.unlink()
    again = prepare(shell)
    assert again.code == 0, again.err
    assert key.exists()


def test_prepare_again_changes_nothing(shell: Command) -> None:
    assert prepare(shell).code == 0
    before = files_of(shell.cwd)
    again = prepare(shell)
    assert again.code == 0, again.err
    assert files_of(shell.cwd) == before


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("keys", "the sealing keys"),
        ("secrets", "the token pepper"),
        ("provisioners", "the provisioners' keys"),
        ("ca", "the CA "),
    ],
)
def test_prepare_makes_nothing_new_for_a_database_that_is_in_use(
    shell: Command, lost: str, named: str
) -> None:
    assert prepare(shell).code == 0
    shutil.rmtree(shell.cwd / lost)
    before = files_of(shell.cwd)
    done = prepare(shell)
    assert done.code == 78
    assert named in done.err
    assert files_of(shell.cwd) == before


@pytest.mark.parametrize(
    "variable",
    [
        "MOSAIC_DATABASE_URL",
        "MOSAIC_PUBLIC_URL",
        "MOSAIC_CA_URL",
        "MOSAIC_CA_ROOT",
        "MOSAIC_CA_PROVISIONERS",
        "MOSAIC_KEYRING",
        "MOSAIC_TOKEN_PEPPER_FILE",
    ],
)
def test_prepare_names_the_setting_that_is_missing(shell: Command, variable: str) -> None:
    fewer = Command(shell.cwd, {k: v for k, v in shell.variables.items() if k != variable})
    done = prepare(fewer)
    assert done.code == 78
    assert done.err.splitlines()[0].startswith(f"error: {variable}: ")
    assert list(shell.cwd.iterdir()) == [shell.cwd / "trust"]


def test_secrets_are_what_the_pods_mount(shell: Command) -> None:
    done = prepare_secrets(shell)
    assert done.code == 0, done.err
    secrets = {each["metadata"]["name"]: each for each in documents(done.out)}
    for each in secrets.values():
        assert problem_of(each) is None
        assert each["immutable"] is True
    mounted = {
        volume["secret"]["secretName"]
        for pod in pods_of([*render(), *render(FOLDER / "cli")]).values()
        for volume in pod["spec"]["volumes"]
        if "secret" in volume
    }
    assert secrets.keys() == mounted
    assert "root_ca_key" not in done.out
    root_key = (shell.cwd / "root-key/root_ca_key").read_bytes()
    assert base64.b64encode(root_key).decode() not in done.out


def test_secrets_are_made_once_and_touch_no_database(shell: Command) -> None:
    away = {"MOSAIC_DATABASE_URL": "postgresql://mosaic@127.0.0.1:1/mosaic"}
    first = prepare_secrets(shell, **away)
    assert first.code == 0, first.err
    assert "not known whether the database is in use" in first.err
    before = files_of(shell.cwd)
    again = prepare_secrets(shell, **away)
    assert again.out == first.out
    assert files_of(shell.cwd) == before


def test_secrets_are_not_made_anew_beside_a_ca_whose_keys_are_lost(shell: Command) -> None:
    away = {"MOSAIC_DATABASE_URL": "postgresql://mosaic@127.0.0.1:1/mosaic"}
    assert prepare_secrets(shell, **away).code == 0
    shutil.rmtree(shell.cwd / "keys")
    done = prepare_secrets(shell, **away)
    assert (done.code, done.out) == (78, "")
    assert "the CA exists, but the sealing keys" in done.err


def test_secrets_are_not_made_anew_for_a_database_that_is_in_use(shell: Command) -> None:
    assert prepare(shell).code == 0
    shutil.rmtree(shell.cwd / "keys")
    done = prepare_secrets(shell)
    assert done.code == 78
    assert done.out == ""
    assert "the sealing keys" in done.err
    assert not (shell.cwd / "keys").exists()


@pytest.mark.usefixtures("own_logins")
def test_the_migration_makes_the_logins_of_the_secrets(shell: Command) -> None:
    done = prepare_secrets(shell)
    assert done.code == 0, done.err
    assert shell("db", "upgrade").code == 0
    folders = [f"--login=logins/{name}" for name in ("mosaic_gateway", "mosaic_operator")]
    before = files_of(shell.cwd)
    made = shell("db", "roles", *folders)
    assert made.code == 0, made.err
    assert files_of(shell.cwd) == before, "they are mounted read only"
    variables = {"MOSAIC_DATABASE_URL_FILE": "logins/mosaic_operator/database-url"}
    operator = Command(
        shell.cwd, {k: v for k, v in shell.variables.items() if k != "MOSAIC_DATABASE_URL"}
    )
    assert operator("grant", "list", **variables).code == 0

    backup = shell("backup", "--ca-dir", "ca", "--root-key", "root-key/root_ca_key", "a.backup")
    assert (backup.code, "lacks" in backup.err) == (0, False), backup.err


@pytest.mark.parametrize("lost", [False, True], ids=["the same folder", "an empty one"])
def test_the_page_restores_the_files_that_the_pod_of_the_ca_had(shell: Command, lost: bool) -> None:
    first = prepare_secrets(shell)
    assert first.code == 0, first.err
    assert shell("db", "upgrade").code == 0
    for verb in ("backup", "restore"):
        if verb == "restore":
            with psycopg.connect(shell.variables["MOSAIC_DATABASE_URL"]) as connection:
                connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            for folder in FOLDERS if lost else ():
                shutil.rmtree(shell.cwd / folder)
        (line,) = re.findall(
            rf"^    mosaic federation {verb} (.+)$", PAGE.read_text(), re.MULTILINE
        )
        done = shell(verb, *line.replace("secrets/", "").split())
        assert done.code == 0, done.err
    again = documents(prepare_secrets(shell).out)
    assert again[0]["metadata"]["name"] == "mosaic-step-ca"
    assert again[0] == documents(first.out)[0]
