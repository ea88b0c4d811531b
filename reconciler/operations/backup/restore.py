"""A restore: into a home that is not there yet, or into an empty database and the places of files.

Files come first and the rows last, and the settings of a home after those: whatever is interrupted
is no gateway yet, and the command says what to type.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.config import require
from reconciler.config.home import TAG_TEXT, Home, NamedServer
from reconciler.core.setting_values import SourceSetting
from reconciler.embedded.folders import locked
from reconciler.embedded.postgres import home_server as postgres
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.logins import require_logins
from reconciler.embedded.postgres.programs import require_usable
from reconciler.embedded.stepca.ca_files import CONFIG, PUBLIC, SECRET, json_bytes
from reconciler.errors import NeedsEdit, Refused
from reconciler.files import make_folder, private_folder, write_new
from reconciler.operations.backup.files import PEPPER, PLAN_KEY, ROOT, ROOT_KEY
from reconciler.operations.backup.home_settings import SERVER, settings_of, settings_text
from reconciler.store.backup.load import load, require_empty, require_known
from reconciler.store.db import Database
from reconciler.store.locks import actor_of, application_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.core.backup.export import LaterRecords
    from reconciler.operations.backup.archive import BackupArchive
    from reconciler.operations.backup.files import CaFolder
    from reconciler.store.backup.load import Loaded
    from reconciler.store.connection.conninfo import ConninfoSource

# longer than `serve` believes that nothing was restored (web/app.py)
SETTLE_S: Final = 1.5


def restore_home(archive: BackupArchive, home: Home, later: LaterRecords | None) -> Loaded:
    """Make a home of a backup.

    Raises:
        Refused: `state_conflict`: something is there; `backup_invalid`, `schema_differs`.
        NeedsEdit: `config_invalid`: the folder cannot be written.
        MosaicError: the database cannot be run.
    """
    _refuse_home(home)
    require_known(archive.manifest.database.migration)
    settings = settings_of(archive)
    home = _with_server(home, settings.get(SERVER))
    config = settings_text(archive, home.server)
    require_usable(server_account(), home.server)
    try:
        private_folder(home.path)
        home.path.chmod(0o711 if os.geteuid() == 0 else 0o700)  # as `init` makes it
        write_new(home.restoring, b"`mosaic federation restore` fills this folder.\n", 0o644)
        write_new(home.tag, TAG_TEXT, 0o644)
        for folder in (home.secrets, home.run, home.logs):
            private_folder(folder)
        with locked(home.run / "init.lock", fcntl.LOCK_EX):
            loaded = _fill(archive, home, settings, later)
            write_new(home.config, config.encode(), 0o600)
            home.restoring.unlink()
            return loaded
    except OSError as error:
        raise NeedsEdit(
            "config_invalid",
            f"the gateway cannot be restored into {home.path}: {error.strerror}"
            + (f": {error.filename}" if error.filename else ""),
            hint=f"{_again(home)}; then restore into a writable folder: --home DIR",
        ) from error


def _fill(
    archive: BackupArchive, home: Home, settings: dict[str, str], later: LaterRecords | None
) -> Loaded:
    write_new(home.path / ".gitignore", b"*\n", 0o644)
    for path, content, mode in _files_of_home(archive, home):
        private_folder(path.parent)
        write_new(path, content, mode)
    write_new(home.database_password, secrets.token_urlsafe(32).encode(), 0o400)
    with postgres.postgres(home) as url:
        database = Database(url, application_name("restore"))
        loaded = load(database, archive.manifest, archive.chunks, actor_of("user"), later)
        with postgres.starting(home):
            require_logins(home, postgres.cluster_of(home))
    if not SourceSetting(settings["source"], settings.get("ref")).is_git:
        make_folder(home.path.parent / settings["source"])
    return loaded


def _with_server(home: Home, named: str | None) -> Home:
    """Return the home with the PostgreSQL of the backup, if this machine has it.

    One that a variable names comes first.
    """
    folder = home.path.parent / named if named else None
    if home.server is not None or folder is None or not folder.is_dir():
        return home
    return replace(home, server=NamedServer(folder, f"{SERVER} of the backup"))


def _refuse_home(home: Home) -> None:
    """Refuse a folder in which anything is, and say what to do."""
    if home.restoring.exists() and not home.config.exists():
        raise Refused(
            "state_conflict",
            f"a restore into {home.path} was interrupted, or is under way",
            hint=_again(home),
        )
    if os.path.lexists(home.path) and (not home.path.is_dir() or any(home.path.iterdir())):
        raise Refused(
            "state_conflict",
            f"{home.path} is not empty: a backup is restored into a folder that is not there",
            hint="name another folder: --home DIR",
        )


def _again(home: Home) -> str:
    where = shlex.quote(str(home.path))
    return f"remove the rest: `mosaic federation destroy --home {where}`"


def _files_of_home(archive: BackupArchive, home: Home) -> Iterator[tuple[Path, bytes, int]]:
    for name in archive.manifest.files("keys"):
        yield home.keys / _last(name), archive.content(name), SECRET
    for name, path in ((PEPPER, home.token_pepper), (ROOT_KEY, home.ca_root_key)):
        if name in archive.manifest.files(name.partition("/")[0]):
            yield path, archive.content(name), SECRET
    if PLAN_KEY in archive.manifest.files("secrets"):
        yield home.keys / "plan-mac-key", archive.content(PLAN_KEY), SECRET
    for name in archive.manifest.files("provisioners"):
        yield home.provisioners / _last(name), archive.content(name), SECRET
    yield from _files_of_ca(archive, home.ca, str(home.ca))


def _files_of_ca(
    archive: BackupArchive, folder: Path, seen_as: str
) -> Iterator[tuple[Path, bytes, int]]:
    """Yield the files of a CA's folder, `ca.json` last, with the paths that it has there."""
    names = archive.manifest.files("ca")
    for name in sorted(names, key=lambda name: name == f"ca/{CONFIG}"):
        content = archive.content(name)
        if name == f"ca/{CONFIG}":
            content = _moved(content, seen_as)
        mode = SECRET if name.endswith("_key") else PUBLIC
        yield folder / name.removeprefix("ca/"), content, mode


def _moved(content: bytes, folder: str) -> bytes:
    """Return `ca.json` with the paths of another folder; it says itself in which it was."""
    try:
        document = json.loads(content)
        before = str(document["root"]).rpartition("/")[0]
    except (ValueError, TypeError, KeyError):
        raise Refused("backup_invalid", f"ca/{CONFIG} is not as `ca init` writes it") from None

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: moved(each) for name, each in value.items()}
        if isinstance(value, list):
            return [moved(each) for each in value]
        if isinstance(value, str) and value.startswith(f"{before}/"):
            return folder + value.removeprefix(before)
        return value

    return content if before == folder else json_bytes(moved(document))


def restore_database(
    archive: BackupArchive,
    settings: Settings,
    source: ConninfoSource,
    ca: CaFolder | None,
    later: LaterRecords | None,
    *,
    seen_as: str | None = None,
) -> Loaded:
    """Restore the files to where settings say that they are, and the rows into an empty database.

    Raises:
        NeedsEdit: `config_invalid`: a setting is missing, or a file has another content already.
        Refused: `state_conflict`: the database is not empty; `backup_invalid`, `schema_differs`.
    """
    database = Database(source, application_name("restore"))
    migration = archive.manifest.database.migration
    require_known(migration)
    with database.transaction() as tx:
        require_empty(tx, migration)
    files = list(_files_of_settings(archive, settings, ca, seen_as))
    differing = [path for path, content, _ in files if _differs(path, content)]
    if differing:
        raise NeedsEdit(
            "config_invalid",
            f"{differing[0]} exists, and is not what the backup has",
            hint="name empty places, or move it away",
        )
    try:
        for path, content, mode in files:
            private_folder(path.parent)
            write_new(path, content, mode)
    except OSError as error:
        raise NeedsEdit(
            "config_invalid",
            f"{error.filename} cannot be written: {error.strerror}",
            hint="run the command as a user who may write there",
        ) from None
    return load(
        database, archive.manifest, archive.chunks, actor_of("user"), later, settle_s=SETTLE_S
    )


def _files_of_settings(
    archive: BackupArchive, settings: Settings, ca: CaFolder | None, seen_as: str | None
) -> Iterator[tuple[Path, bytes, int]]:
    keyring = require(settings.keyring, "keyring")
    for name in archive.manifest.files("keys"):
        yield keyring / _last(name), archive.content(name), SECRET
    pepper = require(settings.token_pepper, "token_pepper_file")
    yield pepper, archive.content(PEPPER), SECRET
    if PLAN_KEY in archive.manifest.files("secrets"):
        yield settings.plan_key_file or keyring / "plan-mac-key", archive.content(PLAN_KEY), SECRET
    provisioners = require(settings.ca_provisioners, "ca_provisioners")
    for name in archive.manifest.files("provisioners"):
        yield provisioners / _last(name), archive.content(name), SECRET
    yield require(settings.ca_root, "ca_root"), archive.content(ROOT), PUBLIC
    if ca is None:
        return
    if ca.root_key is not None and ROOT_KEY in archive.manifest.files("root-key"):
        yield ca.root_key, archive.content(ROOT_KEY), SECRET
    yield from _files_of_ca(archive, ca.folder, seen_as or str(ca.folder))


def _differs(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() != content
    except FileNotFoundError:
        return False


def _last(name: str) -> str:
    return name.rpartition("/")[2]
