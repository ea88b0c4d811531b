"""A gateway with a server of its own, run from a shell that was set up for something else."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from reconciler.embedded.stepca.install import find_step_ca
from reconciler.store.connection.probe import libpq_variables
from tests.support.commands.error_text import assert_error
from tests.support.commands.process import COMMAND, Ended, write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.gateways.gateway import TestGateway, gateway_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# each is valid, and points libpq elsewhere or changes what a session answers
HOSTILE = {
    "PGHOSTADDR": "10.9.9.9",
    "PGPORT": "6432",
    "PGSERVICE": "prod",
    "PGOPTIONS": "-c default_transaction_read_only=on -c search_path=elsewhere",
    "PGDATESTYLE": "German",
    "PGTZ": "Asia/Kathmandu",
    "PGCLIENTENCODING": "LATIN1",
    "PGSSLMODE": "verify-full",
    "PGSSLCERT": "/nowhere/client.crt",
    "PGREQUIREAUTH": "none",
    "PGCHANNELBINDING": "require",
    "PGTARGETSESSIONATTRS": "read-only",
    "PGGSSENCMODE": "require",
    "PGREQUIREPEER": "nobody",
    "PGUSER": "somebody",
    "PGPASSWORD": "not the password",
    "PGDATABASE": "elsewhere",
    "PGPASSFILE": "/nowhere/pgpass",
    "PGDATA": "/nowhere/data",
}


@pytest.fixture
def folder() -> Iterator[TestGateway]:
    with gateway_folder("theta") as made:
        yield made


def with_step_ca() -> str:
    """Return a PATH on which a step-ca is, wherever the cache of the user is."""
    binary = find_step_ca()
    assert binary is not None
    return f"{binary.parent}:{os.environ['PATH']}"


def works(gateway: TestGateway, **variables: str) -> None:
    """Make the gateway, apply a grant, and run all of it, with these variables in the shell."""
    gateway.ok("init", **variables)
    write(gateway.manifests, beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    gateway.ok("apply", "--yes", **variables)
    assert "beta-tasks" in gateway.ok("grant", "list", **variables).out
    with gateway.up(**variables) as running:
        assert "beta-tasks" in gateway.ok("grant", "list", **variables).out
    assert "Traceback" not in running.output
    assert gateway.processes() == {}


def test_hostile_libpq_variables_do_not_reach_the_server_that_we_start(folder: TestGateway) -> None:
    works(folder, **HOSTILE)


def test_no_variable_that_libpq_knows_reaches_the_server_that_we_start(folder: TestGateway) -> None:
    assert set(HOSTILE) - {"PGDATA"} <= set(libpq_variables())
    works(folder, **dict.fromkeys((*libpq_variables(), "PGDATA"), "poison"))


def test_password_and_service_files_of_the_user_do_not_reach_it(folder: TestGateway) -> None:
    user = folder.cwd.parent / "user"
    user.mkdir()
    password_file, services = user / ".pgpass", user / ".pg_service.conf"
    password_file.write_text("*:*:*:*:wrong\n")
    password_file.chmod(0o600)
    services.write_text("[prod]\nhost=10.9.9.9\nport=6432\n")
    works(folder, HOME=str(user), PGSERVICE="prod", PATH=with_step_ca())


def test_what_else_a_shell_may_have_set_does_no_harm(folder: TestGateway) -> None:
    works(
        folder,
        HOME="/proc/1/nowhere",
        PATH=with_step_ca(),
        TMPDIR="/nowhere/" + "long" * 60,
        LANG="xx_XX.UTF-8",
        LC_ALL="tr_TR.ISO-8859-9",
        LANGUAGE="de",
        TZ="Mars/Olympus",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        LD_LIBRARY_PATH="/nowhere",
        XDG_CACHE_HOME="relative",
        XDG_CONFIG_HOME="/dev/null",
        XDG_DATA_HOME="/dev/null",
        XDG_RUNTIME_DIR="/nowhere",
        STEPPATH="/nowhere",
        SSLKEYLOGFILE="/nowhere/keys",
    )


def test_no_secret_of_a_tls_connection_is_written_to_a_file(folder: TestGateway) -> None:
    keys = folder.cwd / "keys"
    works(folder, SSLKEYLOGFILE=str(keys))
    assert not keys.exists()


def real_paths(folder: Path) -> list[Path]:
    return [each for each in (folder, *folder.rglob("*")) if not each.is_symlink()]


@pytest.mark.parametrize("umask", [0o777, 0])
def test_with_any_umask_we_can_read_what_we_write_and_nobody_else_can_change_it(
    folder: TestGateway, umask: int
) -> None:
    before = os.umask(umask)
    try:
        folder.ok("init")
    finally:
        os.umask(before)

    folder.ok("grant", "list")
    real = (*real_paths(folder.home.path), folder.manifests)
    assert not [each for each in real if each.stat().st_mode & stat.S_IWOTH]
    inside = [each for each in real_paths(folder.home.path) if "postgres" not in each.parts]
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in inside}
    assert not [each for each, mode in modes.items() if mode & 0o022]
    for name in ("keys", "secrets", "ca", "root-key", "provisioners", "run", "logs"):
        assert modes[folder.home.path / name] == 0o700, name
    secret = [folder.home.ca_root_key, folder.home.token_pepper, folder.home.database_password]
    secret += [folder.home.ca / "intermediate_ca_key", *folder.home.provisioners.iterdir()]
    assert {modes[each] for each in (*secret, *folder.home.keys.iterdir())} == {0o400}
    assert modes[folder.home.config] == 0o644
    assert modes[folder.home.ca / "root_ca.crt"] == 0o444


def test_limits_that_are_too_low_for_the_server_are_named(folder: TestGateway) -> None:
    low = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (32, 32))
    done = subprocess.run(
        [*COMMAND, "init"],
        cwd=folder.cwd,
        env=folder.environ(),
        preexec_fn=low,  # one thread, and nothing but a system call
        capture_output=True,
        text=True,
        check=False,
    )

    assert_error(
        Ended(done.returncode, done.stdout, done.stderr), 1, "System allows", "postgres.log"
    )
    folder.ok("init")
