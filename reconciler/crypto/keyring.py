"""The sealing keys in files: the one adapter of `seal.KeyWrapper` today.

A folder (0700) holds one file a key (0400), named by the key's id, and the file `primary`, which
names the id that wraps from now on. Every write is a temporary file and a rename.

A wrapped data key is, in order: salt (32 bytes), commitment (32), nonce (12), box (48). The
wrapping key and the commitment are the two halves of HKDF-SHA-256(key, salt, purpose ‖ context)
(RFC 5869); the commitment is compared first, so that a box opens under one key only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shlex
import stat
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from reconciler.core.model.text import shown
from reconciler.errors import OTHER_USER, NeedsEdit
from reconciler.files import private_folder, replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY_BYTES: Final = 32

_PREFIX: Final = "mosaic-kek-v1 "
_PURPOSE: Final = b"mosaic-federation wrap v1\x00"
_SALT, _COMMITMENT, _NONCE = 32, 32, 12


class FileKeyring:
    """The keys of one folder, read once. Its text shows ids only."""

    def __init__(self, keys: Mapping[str, bytes], primary: str) -> None:
        self._keys = dict(keys)
        self._primary = primary

    def __repr__(self) -> str:
        return f"FileKeyring(ids={self.ids!r}, primary={self._primary!r})"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, sorted."""
        return tuple(sorted(self._keys))

    @property
    def primary(self) -> str:
        """The id of the key that wraps from now on."""
        return self._primary

    @classmethod
    def create(cls, folder: Path) -> FileKeyring:
        """Make the folder with one key, or complete what an interrupted run began."""
        private_folder(folder)
        if not any(folder.glob("*.key")):
            add_key(folder)
        if not (folder / "primary").exists():
            make_primary(folder, next(iter(sorted(folder.glob("*.key")))).stem)
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> FileKeyring:
        """Return the keyring of a folder.

        Raises:
            NeedsEdit: `keyring_invalid`, naming the path and what is wrong with it.
        """
        try:
            if not folder.is_dir():
                raise _invalid(f"{folder} is not a folder with sealing keys")
            _check_mode(folder)
            # not by `glob`, which takes a folder that cannot be read for an empty one
            paths = sorted(path for path in folder.iterdir() if path.match("*.key"))
            keys = {path.stem: _read_key(path) for path in paths}
            if not keys:
                raise _invalid(f"{folder} holds no sealing key (*.key)")
            primary = (folder / "primary").read_text(errors="replace").strip()
        except FileNotFoundError as error:
            raise _invalid(f"{error.filename} is missing") from None
        except PermissionError as error:
            message = f"{error.filename} cannot be read: {error.strerror}"
            raise _invalid(message, OTHER_USER) from None
        except OSError as error:
            raise _invalid(f"{error.filename} cannot be read: {error.strerror}") from None
        if primary not in keys:
            named = shown(primary)
            raise _invalid(f"{folder / 'primary'} names the key {named}, which is not there")
        return cls(keys, primary)

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Return the id of the primary key, and `data_key` wrapped by it, bound to `context`."""
        salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
        wrapping, commitment = _derive(self._keys[self._primary], salt, context)
        box = AESGCM(wrapping).encrypt(nonce, data_key, context)
        return self._primary, salt + commitment + nonce + box

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the data key that the key `key_id` wrapped for `context`.

        Raises:
            NeedsEdit: `keyring_invalid`: the key is not here, or is not the one.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise _invalid(f"the key {key_id!r} that sealed this value is not in the keyring")
        salt, rest = wrapped[:_SALT], wrapped[_SALT:]
        committed, nonce = rest[:_COMMITMENT], rest[_COMMITMENT : _COMMITMENT + _NONCE]
        wrapping, commitment = _derive(key, salt, context)
        if not hmac.compare_digest(committed, commitment):
            raise _invalid(f"the key {key_id!r} did not seal this value")
        try:
            return AESGCM(wrapping).decrypt(nonce, rest[_COMMITMENT + _NONCE :], context)
        except (InvalidTag, ValueError):  # ValueError: cut so short that the nonce is none
            raise _invalid(f"a data key wrapped under {key_id!r} was altered") from None


class KeyringFolder:
    """The keyring of a folder as it is at each use, for a process that outlives a rotation.

    One that went on with what it had read would seal with a key that has been retired since: also a
    command that waits for a lock, or for another gateway.

    Raises:
        NeedsEdit: `keyring_invalid`: it cannot be used as it is.
    """

    def __init__(self, folder: Path) -> None:
        FileKeyring.load(folder)
        self._folder = folder

    @property
    def primary(self) -> str:
        """The id of the key that wraps from now on."""
        return FileKeyring.load(self._folder).primary

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Return the id of the primary key, and `data_key` wrapped by it, bound to `context`."""
        return FileKeyring.load(self._folder).wrap(data_key, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the data key that the key `key_id` wrapped for `context`.

        Raises:
            NeedsEdit: `keyring_invalid`: as `FileKeyring.load` and `FileKeyring.unwrap`.
        """
        return FileKeyring.load(self._folder).unwrap(key_id, wrapped, context)


def add_key(folder: Path) -> str:
    """Write a fresh key into a keyring; return its id. It wraps nothing until it is primary."""
    key = os.urandom(KEY_BYTES)
    text = _PREFIX + base64.b64encode(key).decode() + "\n"
    replace_file(folder / f"{key_id(key)}.key", text.encode(), 0o400)
    return key_id(key)


def make_primary(folder: Path, wanted: str) -> None:
    """Let a key of the keyring wrap from now on."""
    replace_file(folder / "primary", f"{wanted}\n".encode(), 0o400)


def remove_key(folder: Path, unwanted: str) -> None:
    """Remove a key that seals nothing any more."""
    (folder / f"{unwanted}.key").unlink()


def key_id(key: bytes) -> str:
    """Return the id of a key: 16 hex digits that reveal nothing of it."""
    return hashlib.sha256(b"mosaic-federation key id v1\x00" + key).hexdigest()[:16]


def _derive(key: bytes, salt: bytes, context: bytes) -> tuple[bytes, bytes]:
    expand = HKDF(hashes.SHA256(), KEY_BYTES + _COMMITMENT, salt, _PURPOSE + context)
    material = expand.derive(key)
    return material[:KEY_BYTES], material[KEY_BYTES:]


def _read_key(path: Path) -> bytes:
    _check_mode(path)
    text = path.read_text(errors="replace").strip()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not text.startswith(_PREFIX) or len(key) != KEY_BYTES:
        raise _invalid(f"{path} does not hold a sealing key")
    if path.stem != key_id(key):
        raise _invalid(f"{path} holds the key {key_id(key)!r}, not the one of its name")
    return key


def _check_mode(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        wanted = "0700" if path.is_dir() else "0400"
        hint = (
            f"type: `chmod {wanted} {shlex.quote(str(path))}`; if somebody else may have read a key"
            " there, use another one from now on: `mosaic federation keys rotate`"
        )
        raise _invalid(f"{path} has mode {mode:04o}, expected {wanted}", hint)


_RESTORE: Final = (
    "restore the keyring from its backup, with folders 0700 and files 0400;"
    " see `mosaic federation keys status`"
)


def _invalid(message: str, hint: str = _RESTORE) -> NeedsEdit:
    return NeedsEdit("keyring_invalid", message, hint=hint)
