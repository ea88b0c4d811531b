"""The folder of an embedded gateway: what lies where in it, and how it is found. Paths only.

mosaic.toml      the settings; its presence says that the home is complete
lock             held shared by whoever uses the database server
keys/            the sealing keys (0700)
secrets/         the token pepper, the database password, the server certificate (0700)
ca/              what step-ca sees: certificates, intermediate key, ca.json, templates, database
root-key/        the root's key alone, which can be taken offline
provisioners/    the private keys of the CA's provisioners (0700)
postgres/        the database server's data and socket, where its account can reach them
database-place   the folder that has them, chosen once
run/, logs/      identities of child processes; what they wrote
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = ".mosaic"


@dataclass(frozen=True, slots=True)
class Home:
    """A home; `path` is absolute."""

    path: Path

    @property
    def id(self) -> str:
        """16 hex digits that name this home where sockets of several homes lie."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:16]

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "mosaic.toml"

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
        """The password of the database's owner."""
        return self.secrets / "database-password"

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
    def logs(self) -> Path:
        """What the child processes wrote."""
        return self.path / "logs"

    def log_of(self, child: str) -> Path:
        """The log of a child process."""
        return self.logs / f"{child}.log"


def find_home(start: Path) -> Home | None:
    """Return the home in `start` or the nearest folder above it, as git finds a repository."""
    for folder in (start, *start.parents):
        home = Home(folder / NAME)
        if home.config.is_file():
            return home
    return None
