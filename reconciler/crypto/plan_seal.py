"""Seals of saved plans: a MAC under a key of this gateway, or the signature of an SSH key.

A sealed plan is a JSON object whose last member is `seal`. The seal covers every octet before that
member, and the octets from there on have one spelling, so that no octet can be changed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.crypto import sshsig
from reconciler.errors import OTHER_USER, NeedsEdit, Refused
from reconciler.files import private_folder, write_new

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

KEY_BYTES: Final = 32

_PREFIX: Final = "mosaic-plan-key-v1 "
_PURPOSE: Final = b"mosaic-federation plan v1\x00"
_MAC: Final = "hmac-sha256:"
_SEAL: Final = re.compile(rb',\n  "seal": ("(?:[^"\\\x00-\x1f]|\\n)*")\n}\n\Z')


@dataclass(frozen=True, slots=True)
class SealedPlan:
    """A saved plan as it was read, before its seal is verified: what is covered, and the seal."""

    unverified_content: bytes
    seal: str

    @classmethod
    def parse(cls, file: bytes) -> SealedPlan:
        """Return the parts of a file; raise `ValueError` if it has no seal."""
        match = _SEAL.search(file)
        if match is None:
            raise ValueError("there is no seal")
        return cls(file[: match.start()], json.loads(match[1]))

    @property
    def is_signature(self) -> bool:
        """Whether the seal is a signature, and not a MAC."""
        return not self.seal.startswith(_MAC)

    def verify_mac(self, key: bytes) -> bytes:
        """Return the plan without its seal, once that is a MAC of it.

        Raises:
            Refused: `plan_untrusted`.
        """
        expected = mac(self.unverified_content, key)
        if not hmac.compare_digest(self.seal.encode(), expected.encode()):
            raise untrusted("it was changed after it was saved, or another gateway saved it")
        return self.unverified_content + b"\n}\n"

    def verify_signature(self, allowed_signers: Path, at: datetime) -> tuple[bytes, str]:
        """Return the plan without its seal, once an allowed signer has signed it, and the signer.

        Raises:
            Refused: `plan_untrusted`. NeedsEdit: `config_invalid`: there is no ssh-keygen.
        """
        content, signature = self.unverified_content, self.seal.encode()
        try:
            signer = sshsig.verify(content, signature, allowed_signers, at, sshsig.PLAN)
        except Refused as error:
            message = f"the saved plan is not trusted: {error.message}"
            hint = f"nothing was applied; {error.hint}"
            raise Refused("plan_untrusted", message, hint=hint) from None
        return content + b"\n}\n", signer


def mac(content: bytes, key: bytes) -> str:
    """Return the seal of this gateway's key."""
    return _MAC + hmac.new(key, _PURPOSE + content, hashlib.sha256).hexdigest()


def signature(content: bytes, key: Path) -> str:
    """Return the seal of an SSH key; raises as `sshsig.sign`."""
    return sshsig.sign(content, key, sshsig.PLAN).decode("ascii")


def covered(document: dict[str, object]) -> bytes:
    """Return what the seal of a document covers."""
    return json.dumps(document, indent=2).encode().removesuffix(b"\n}")


def with_seal(content: bytes, seal: str) -> bytes:
    """Return the file of what a seal covers and the seal."""
    return content + b',\n  "seal": ' + json.dumps(seal).encode() + b"\n}\n"


def read_key(path: Path) -> bytes:
    """Return the key of a file.

    Raises:
        NeedsEdit: `config_invalid`, naming the file; its content is never shown.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(errors="replace").strip()
    except OSError as error:
        hint = OTHER_USER if isinstance(error, PermissionError) else _RESTORE
        raise _unusable(path, f"it cannot be read: {error.strerror}", hint) from None
    if mode & 0o077:
        raise _unusable(path, f"it has mode {mode:04o}, expected 0400")
    if not re.fullmatch(rf"{_PREFIX}[0-9a-f]{{{2 * KEY_BYTES}}}", text, re.ASCII):
        raise _unusable(path, "it does not hold a key for saved plans")
    return bytes.fromhex(text.removeprefix(_PREFIX))


def make_key(path: Path) -> None:
    """Make the file of the key (0400) in a folder of its owner's (0700), unless it is there.

    Raises:
        OSError: it cannot be made.
    """
    private_folder(path.parent)
    write_new(path, f"{_PREFIX}{os.urandom(KEY_BYTES).hex()}\n".encode(), 0o400)


def untrusted(reason: str) -> Refused:
    """Return the refusal of a saved plan; its code is `plan_untrusted`."""
    again = "make and save the plan again: `mosaic federation plan --save FILE`"
    message = f"the saved plan is not trusted: {reason}"
    return Refused("plan_untrusted", message, hint=f"nothing was applied; {again}")


_RESTORE: Final = (
    "restore it with mode 0400, or remove it: the next `mosaic federation plan --save FILE`"
    " makes another, and plans that were saved before are refused"
)


def _unusable(path: Path, message: str, hint: str = _RESTORE) -> NeedsEdit:
    return NeedsEdit("config_invalid", f"{path}: {message}", hint=hint)
