"""The folder of an embedded gateway: what lies where in it, and how it is found. Paths only.

mosaic.toml      the settings; its presence says that the home is complete
mosaic-home      says what the folder is, from its first moment to its last
destroying       its presence says that the home is being removed
restoring        its presence says that a restore has not ended
audit-head       the newest audit record that this gateway has seen
lock             held shared by whoever uses the database server
keys/            the sealing keys (0700)
secrets/         the token pepper, the passwords of the database, the server certificate (0700)
ca/              what step-ca sees: certificates, intermediate key, ca.json, templates, database
root-key/        the root's key alone, which can be taken offline
provisioners/    the private keys of the CA's provisioners (0700)
postgres/        the database server's data and socket, where its account can reach them
database-place   the folder that has them, chosen once
run/, logs/      identities of child processes; what they wrote
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = ".mosaic"
TAG_TEXT: Final = b"This folder is a gateway; `mosaic federation destroy` removes it.\n"
TEMPORARY: Final = re.compile(r"\.mosaic-[0-9a-f]{16}")  # a file that was being written
ENTRIES: Final = frozenset(
    (
        "mosaic.toml",
        "mosaic.toml.draft",
        "mosaic-home",
        "destroying",
        "restoring",
        "audit-head",
        ".gitignore",
        "lock",
        "keys",
        "secrets",
        "ca",
        "root-key",
        "provisioners",
        "postgres",
        "database-place",
        "run",
        "logs",
        "cache",
    )
)  # all that a gateway makes in its home


@dataclass(frozen=True, slots=True)
class NamedServer:
    """The folder of a PostgreSQL's programs, and who named it, as an error says it."""

    binaries: Path
    origin: str


@dataclass(frozen=True, slots=True)
class Home:
    """A home; `path` is absolute. `server` is the PostgreSQL to run instead of the wheel's."""

    path: Path
    server: NamedServer | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """16 hex digits that name this home where sockets of several homes lie."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:16]

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "mosaic.toml"

    @property
    def draft(self) -> Path:
        """What the first run of `init` chose, until the settings are written."""
        return self.path / "mosaic.toml.draft"

    @property
    def tag(self) -> Path:
        """The file that says what the folder is."""
        return self.path / "mosaic-home"

    @property
    def destroying(self) -> Path:
        """The file that says that the home is being removed."""
        return self.path / "destroying"

    @property
    def restoring(self) -> Path:
        """The file that says that a backup is being restored into the home."""
        return self.path / "restoring"

    @property
    def audit_head(self) -> Path:
        """What is remembered of the audit log outside of the database."""
        return self.path / "audit-head"

    @property
    def lock(self) -> Path:
        """Held shared by the users of the database server."""
        return self.path / "lock"

    @property
    def keys(self) -> Path:
        """The keyring."""
        return self.path / "keys"

    @property
    def secrets(self) -> Path:
        """Secrets that are no sealing keys."""
        return self.path / "secrets"

    @property
    def token_pepper(self) -> Path:
        """The pepper of enrollment tokens: 32 bytes in hex."""
        return self.secrets / "token-pepper"

    @property
    def database_password(self) -> Path:
        """The password of the database's superuser."""
        return self.secrets / "database-password"

    def login_password(self, login: str) -> Path:
        """The password of a login of the database."""
        return self.secrets / f"{login}-password"

    @property
    def roles(self) -> Path:
        """Which roles the database has, as they were made last."""
        return self.run / "roles"

    @property
    def database_place(self) -> Path:
        """The file that names the folder of the database server."""
        return self.path / "database-place"

    @property
    def server_certificate(self) -> Path:
        """The endpoint's key and certificate."""
        return self.secrets / "server.pem"

    @property
    def ca(self) -> Path:
        """The CA's folder."""
        return self.path / "ca"

    @property
    def ca_root_key(self) -> Path:
        """The root's private key."""
        return self.path / "root-key" / "root_ca_key"

    @property
    def provisioners(self) -> Path:
        """The provisioners' private keys."""
        return self.path / "provisioners"

    @property
    def run(self) -> Path:
        """Locks and identities of processes."""
        return self.path / "run"

    @property
    def trial(self) -> Path:
        """The folder of an authority on which `init` tries what is fixed for good."""
        return self.run / "trial"

    @property
    def logs(self) -> Path:
        """What the child processes wrote."""
        return self.path / "logs"

    def log_of(self, child: str) -> Path:
        """The log of a child process."""
        return self.logs / f"{child}.log"


def is_home(path: Path) -> bool:
    """Tell whether a folder is a home, whole or not: half made, half removed, its settings lost.

    `mosaic.toml` alone proves nothing, unless the folder has the name that homes have.
    """
    home = Home(path)
    if any(each.is_file() for each in (home.tag, home.draft, home.token_pepper)):
        return True
    if home.database_password.is_file() or home.database_place.is_file():
        return True
    if path.name != NAME or not path.is_dir():
        return False
    names = [each.name for each in path.iterdir()]
    return home.config.is_file() or all(TEMPORARY.fullmatch(name) for name in names)


def find_home(start: Path, *, whole: bool = True) -> Home | None:
    """Return the home in `start` or the nearest folder above it, as git finds a repository.

    `whole` passes over a home without settings, which `init` has not completed.
    """
    for folder in (start, *start.parents):
        home = Home(folder / NAME)
        try:
            if home.config.is_file() if whole else is_home(home.path):
                return home
        except PermissionError:  # of another user, whose home it may be
            return home
    return None
