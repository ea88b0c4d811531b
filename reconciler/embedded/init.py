"""`init`: a home made from nothing, or completed where a run was interrupted.

`mosaic.toml` is written last, so a home that has one is whole. What a first run chose (ports, keys)
a second one keeps.
"""

from __future__ import annotations

import fcntl
import json
import random
import secrets
import shutil
import socket
import tomllib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.config import write_config
from reconciler.core.invitation import API_PREFIX
from reconciler.core.tokens import PEPPER_BYTES
from reconciler.core.x509 import DEFAULT_OID_ARC
from reconciler.crypto.keyring import FileKeyring
from reconciler.embedded import postgres
from reconciler.embedded.ca_files import CONFIG, CaPlan, write_ca
from reconciler.embedded.files import locked, private_folder
from reconciler.errors import NeedsEdit, Refused, Retry
from reconciler.files import write_new
from reconciler.store.locks import application_name
from reconciler.store.migrate import upgrade
from reconciler.store.tx import Database

if TYPE_CHECKING:
    from reconciler.embedded.home import Home

PORTS: Final = range(20_000, 32_000)  # below what Linux gives to outgoing connections
SOURCE: Final = "manifests"
DRAFT: Final = "mosaic.toml.draft"


def create_home(home: Home, *, public_url: str | None = None, oid_arc: str | None = None) -> bool:
    """Make the home: settings, keys, authority, database. Return False where it was complete.

    Raises:
        Refused: `state_conflict`: it is complete, with another URL or arc than is asked for.
        MosaicError: what could not be made, and what to do; run it again afterwards.
    """
    if home.config.is_file():
        _refuse_other(home, public_url, oid_arc)
        return False
    home.path.mkdir(parents=True, exist_ok=True)
    for folder in (home.secrets, home.run, home.logs):
        private_folder(folder)
    with locked(home.run / "init.lock", fcntl.LOCK_EX):
        if home.config.is_file():  # by the one that was first
            return False
        _make(home, public_url, oid_arc)
    return True


def _refuse_other(home: Home, public_url: str | None, oid_arc: str | None) -> None:
    """Refuse what a complete home cannot become: its certificates carry both."""
    written = tomllib.loads(home.config.read_text())
    for name, asked in (("public_url", public_url), ("oid_arc", oid_arc)):
        if asked is not None and asked != written.get(name, asked):
            raise Refused(
                "state_conflict",
                f"the {name} of {home.path} is fixed: it has {written[name]!r}, not {asked!r}",
                hint="make another gateway: mosaic federation init --home FOLDER",
            )


def _make(home: Home, public_url: str | None, oid_arc: str | None) -> None:
    write_new(home.path / ".gitignore", b"*\n", 0o644)
    settings = _settings(home, public_url, oid_arc)
    FileKeyring.create(home.keys)
    write_new(home.token_pepper, secrets.token_hex(PEPPER_BYTES).encode(), 0o400)
    write_new(home.database_password, secrets.token_urlsafe(32).encode(), 0o400)
    write_ca(_ca_plan(home, settings))
    (home.path.parent / SOURCE).mkdir(exist_ok=True)
    with postgres.postgres(home) as url:
        upgrade(Database(url, application_name("init")))
    write_config(home.config, settings)
    (home.path / DRAFT).unlink(missing_ok=True)


def remove_home(home: Home) -> None:
    """Stop the home's database server, and remove the home and what of it lies elsewhere."""
    if home.database_password.is_file():
        postgres.remove(home)
    shutil.rmtree(home.path, ignore_errors=True)


def _settings(home: Home, public_url: str | None, oid_arc: str | None) -> dict[str, str]:
    draft = home.path / DRAFT
    if not draft.is_file():
        port, ca_port = _free_ports()
        chosen = {
            "listen": f"127.0.0.1:{port}",
            "public_url": public_url or f"https://127.0.0.1:{port}",
            "source": SOURCE,
            "ca_url": f"https://127.0.0.1:{ca_port}",
            "oid_arc": oid_arc or DEFAULT_OID_ARC,
        }
        if (home.ca / CONFIG).is_file():  # mosaic.toml was lost: what the CA has is what holds
            chosen |= _as_the_ca_has(home)
        write_config(draft, chosen)
    settings: dict[str, str] = tomllib.loads(draft.read_text())
    return settings


def _as_the_ca_has(home: Home) -> dict[str, str]:
    """Return the settings that an authority fixes, where one is there already."""
    try:
        document = json.loads((home.ca / CONFIG).read_text())
        options = document["authority"]["provisioners"][0]["options"]
        fixed = {
            "public_url": document["crl"]["idpURL"].partition(API_PREFIX)[0],
            "ca_url": f"https://{document['address']}",
            "oid_arc": options["x509"]["templateData"]["oidArc"],
        }
    except (OSError, ValueError, LookupError, TypeError):
        raise NeedsEdit(
            "config_invalid",
            f"{home.ca / CONFIG}: it does not say what the gateway was",
            hint="restore the home from its backup",
        ) from None
    own = urlsplit(fixed["public_url"])
    if own.hostname == "127.0.0.1" and own.port is not None:
        fixed["listen"] = own.netloc
    return fixed


def _ca_plan(home: Home, settings: dict[str, str]) -> CaPlan:
    return CaPlan(
        folder=home.ca,
        root_key=home.ca_root_key,
        provisioners=home.provisioners,
        public_url=settings["public_url"],
        address=urlsplit(settings["ca_url"]).netloc,
        name=f"Mosaic {home.path.parent.name}"[:48],
        oid_arc=settings["oid_arc"],
    )


def _free_ports() -> tuple[int, int]:
    found: list[int] = []
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == 2:
            return found[0], found[1]
    raise Retry("child_failed", "no free port was found", hint="run `mosaic federation init` again")
