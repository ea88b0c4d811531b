"""`init`: a home made from nothing, or completed where a run was interrupted.

`mosaic.toml` is written last, so a home that has one is whole. What a first run chose (ports, keys)
a second one keeps.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import shutil
import tomllib
from contextlib import suppress
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.config import write_config
from reconciler.config.document import read_document
from reconciler.config.home import TAG_TEXT
from reconciler.config.settings import PLAN_KEY
from reconciler.core.issuance.tokens import PEPPER_BYTES
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.core.model.origin import address_of, address_text, origin_at, read_origin
from reconciler.core.setting_values import SourceSetting, read_listen
from reconciler.crypto.keyring import FileKeyring
from reconciler.crypto.plan_seal import make_key
from reconciler.embedded.folders import locked
from reconciler.embedded.ports import free_ports
from reconciler.embedded.postgres import home_server as postgres
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.logins import require_logins
from reconciler.embedded.postgres.programs import require_usable
from reconciler.embedded.stepca.ca_files import CONFIG, CaPlan, write_ca
from reconciler.embedded.stepca.config import read_ca_config
from reconciler.embedded.stepca.install import find_step_ca
from reconciler.embedded.stepca.trial import try_settings
from reconciler.errors import NeedsEdit, Refused, Retry
from reconciler.files import make_folder, private_folder, write_new
from reconciler.store.db import Database
from reconciler.store.locks import application_name
from reconciler.store.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.config.home import Home

SOURCE: Final = "manifests"
# what a certificate authority is made for, and what to do instead of another value
FIXED: Final = {
    "public_url": "move the gateway: `mosaic federation ca move {}`",
    "oid_arc": "an arc cannot be changed; make another gateway:"
    " `mosaic federation init --home FOLDER`",
}


def create_home(home: Home, wanted: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Make the home: settings, keys, authority, database. Return False where it was complete.

    `wanted` are texts for its `mosaic.toml`, by setting. What cannot be changed later is tried
    before anything is written, where a step-ca is here.

    Raises:
        Refused: `state_conflict`: it is complete, with another URL or arc than is wanted.
        MosaicError: what could not be made, and what to do; run it again afterwards.
    """
    try:
        if home.config.is_file():
            home.draft.unlink(missing_ok=True)
            _refuse_other(home, _stored(home), wanted)
            return False
        require_usable(server_account(), home.server)
        _make_folder(home)
        _refuse_removed(home)
        write_new(home.tag, TAG_TEXT, 0o644)
        for folder in (home.secrets, home.run, home.logs):
            private_folder(folder)
        with locked(home.run / "init.lock", fcntl.LOCK_EX):
            if home.config.is_file():  # by the one that was first
                _refuse_other(home, _stored(home), wanted)
                return False
            _make(home, wanted)
    except OSError as error:
        raise NeedsEdit(
            "config_invalid",
            f"the gateway cannot be created in {home.path}: {error.strerror}"
            + (f": {error.filename}" if error.filename else ""),
            hint="check that its folder is writable, or name another one: --home DIR",
        ) from error
    return True


def _make_folder(home: Home) -> None:
    """Make the home's own folder, which as root the account of PostgreSQL enters too."""
    if not home.path.exists():
        private_folder(home.path)
        home.path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _stored(home: Home) -> dict[str, str]:
    return {name: assignment.text for name, assignment in read_document(home).items()}


def _refuse_other(home: Home, has: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Refuse what an authority cannot become: its certificates carry both."""
    for name, hint in FIXED.items():
        if name in wanted.keys() & has and wanted[name] not in (has[name], _spelled(has[name])):
            raise Refused(
                "state_conflict",
                f"the {name} of {home.path} is fixed: it is {has[name]!r}, not {wanted[name]!r}",
                hint=hint.format(wanted[name]),
            )


def _spelled(text: str) -> str:
    """Return a URL as settings spell it now; other texts as they are."""
    with suppress(ValueError):
        return read_origin(text)
    return text


def _refuse_removed(home: Home) -> None:
    """Refuse to complete a home of which `destroy` or `restore` has left a part, with no rows."""
    for marker, what in ((home.destroying, "removal"), (home.restoring, "restore")):
        if marker.exists():
            where = shlex.quote(str(home.path))
            raise Refused(
                "state_conflict",
                f"the {what} of {home.path} was interrupted",
                hint=f"remove the rest: `mosaic federation destroy --home {where}`",
            )


def _make(home: Home, wanted: Mapping[str, str]) -> None:
    write_new(home.path / ".gitignore", b"*\n", 0o644)
    settings = _settings(home, wanted)
    folder = home.path.parent

    def place(name: str, own: Path) -> Path:
        return folder / settings[name] if name in settings else own

    plan = _ca_plan(home, settings, place("ca_provisioners", home.provisioners))
    keyring = place("keyring", home.keys)
    make_folder(keyring.parent)
    FileKeyring.create(keyring)
    make_key(place("plan_key_file", keyring / PLAN_KEY))
    pepper = place("token_pepper_file", home.token_pepper)
    private_folder(pepper.parent)
    write_new(pepper, secrets.token_hex(PEPPER_BYTES).encode(), 0o400)
    write_new(home.database_password, secrets.token_urlsafe(32).encode(), 0o400)
    write_ca(plan)
    if not SourceSetting(settings["source"], settings.get("ref")).is_git:
        make_folder(folder / settings["source"])
    with postgres.postgres(home) as url:
        upgrade(Database(url, application_name("init")))
        with postgres.starting(home):
            require_logins(home, postgres.cluster_of(home))
    write_config(home.config, settings)
    home.draft.unlink(missing_ok=True)


def _settings(home: Home, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of `mosaic.toml`, written as a draft that the next run continues."""
    draft = home.draft
    has_draft = draft.is_file()
    chosen: dict[str, str] = tomllib.loads(draft.read_text()) if has_draft else {}
    if has_draft and any(wanted.get(name, has) != has for name, has in chosen.items()):
        # it never was complete, so nobody holds a certificate of its authority
        for made in (home.ca, home.ca_root_key.parent, home.provisioners):
            shutil.rmtree(made, ignore_errors=True)
    if (home.ca / CONFIG).is_file():
        if not has_draft:  # mosaic.toml was lost: what the CA has is what holds
            chosen = _defaults(wanted) | _as_the_ca_has(home)
            _refuse_other(home, chosen, wanted)
        chosen |= wanted
    else:
        chosen |= wanted
        chosen = _defaults(chosen) | chosen
        _try(home, chosen)
    write_config(draft, chosen)
    return chosen


def _defaults(chosen: Mapping[str, str]) -> dict[str, str]:
    """Return what is not chosen: free ports, and a URL and an address that fit each other."""
    port, ca_port, private_port = _free_ports()
    url = ""
    if "listen" in chosen:
        address = read_listen(chosen["listen"])
        port = address[1]
        with suppress(ValueError):  # 0.0.0.0, say, is no address to connect to
            url = read_origin(origin_at(address))
    elif "public_url" in chosen:
        port = urlsplit(chosen["public_url"]).port or port
    return {
        "listen": f"127.0.0.1:{port}",
        "public_url": url or f"https://127.0.0.1:{port}",
        "source": SOURCE,
        "ca_url": f"https://127.0.0.1:{ca_port}",
        "private_listen": f"127.0.0.1:{private_port}",
        "oid_arc": DEFAULT_OID_ARC,
    }


def _try(home: Home, settings: Mapping[str, str]) -> None:
    step_ca = find_step_ca()
    if step_ca is not None:
        url, arc = settings["public_url"], settings["oid_arc"]
        try_settings(home.trial, step_ca, url, arc, read_listen(settings["listen"]))


def _as_the_ca_has(home: Home) -> dict[str, str]:
    """Return the settings that an authority fixes, where one is there already."""
    document, places = read_ca_config(home.ca)
    fixed = {
        "public_url": places.public_url,
        "ca_url": f"https://{document['address']}",
        "oid_arc": places.oid_arc,
    }
    own = urlsplit(places.public_url)
    if own.hostname == "127.0.0.1" and own.port is not None:
        fixed["listen"] = own.netloc
    return fixed


def _ca_plan(home: Home, settings: Mapping[str, str], provisioners: Path) -> CaPlan:
    address = address_of(settings["ca_url"])
    return CaPlan(
        folder=home.ca,
        root_key=home.ca_root_key,
        provisioners=provisioners,
        public_url=settings["public_url"],
        address=address_text(address),
        dns_names=tuple(dict.fromkeys(("127.0.0.1", "localhost", address[0]))),
        name=f"Mosaic {home.path.parent.name}"[:48],
        oid_arc=settings["oid_arc"],
    )


def _free_ports() -> tuple[int, ...]:
    ports = tuple(islice(free_ports(), 3))
    if len(ports) < 3:
        hint = "run `mosaic federation init` again"
        raise Retry("child_failed", "no free port was found", hint=hint)
    return ports
