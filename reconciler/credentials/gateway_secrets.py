"""The Kubernetes Secrets of a gateway without a home, from the files that `prepare` made.

Each holds what one kind of pod needs, so that no pod gets more. They are immutable: the API server
refuses to replace the content of one that exists, so other keys cannot take the place of those that
rows are sealed with.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DATABASE_URL: Final = "database-url"
CA_FILES: Final = ("ca.json", "root_ca.crt", "intermediate_ca.crt", "intermediate_ca_key")


@dataclass(frozen=True, slots=True)
class PreparedFiles:
    """The files and folders of a gateway; `logins` are the folders of its database's logins."""

    ca: Path
    keyring: Path
    plan_key: Path
    token_pepper: Path
    private_token: Path
    provisioners: Path
    logins: tuple[Path, ...]
    owner_url: str

    def secrets(self) -> list[dict[str, Any]]:
        """Return every Secret; the root's key is in none.

        Raises:
            OSError: a file cannot be read.
        """
        templates = sorted((self.ca / "templates").glob("*.tpl"))
        keys = [*sorted(self.keyring.glob("*.key")), self.keyring / "primary"]
        return [
            _secret("mosaic-step-ca", (*(self.ca / name for name in CA_FILES), *templates)),
            _secret("mosaic-trust", [self.ca / "root_ca.crt"]),
            _secret("mosaic-keys", keys),
            _secret("mosaic-plan-key", [self.plan_key], ["plan-mac-key"]),
            _secret("mosaic-token-pepper", [self.token_pepper], ["token-pepper"]),
            _secret("mosaic-private-token", [self.private_token], ["token"]),
            _secret("mosaic-provisioners", sorted(self.provisioners.glob("*.json"))),
            _document("mosaic-login-owner", {DATABASE_URL: self.owner_url.encode()}),
            *(
                _secret(
                    f"mosaic-login-{folder.name.removeprefix('mosaic_')}", [folder / DATABASE_URL]
                )
                for folder in self.logins
            ),
        ]


def _secret(name: str, files: Iterable[Path], keys: Iterable[str] | None = None) -> dict[str, Any]:
    paths = tuple(files)
    names = keys or [path.name for path in paths]
    contents = {key: path.read_bytes() for key, path in zip(names, paths, strict=True)}
    return _document(name, contents)


def _document(name: str, contents: dict[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "immutable": True,
        "data": {key: base64.b64encode(contents[key]).decode() for key in sorted(contents)},
    }
