"""Signatures of SSH keys over checkpoints and saved plans, made and verified by ssh-keygen(1).

So keys in an agent or on a token can sign, and who has no Mosaic can verify (PROTOCOL.sshsig).
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.errors import NeedsEdit, Refused
from reconciler.process import BoundExceeded, Bounds, ProcessResult, run_process

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Purpose:
    """What is signed: its namespace, which a signature holds, and the code of a refusal."""

    namespace: str
    code: str


CHECKPOINT: Final = Purpose("mosaic-checkpoint", "checkpoint_untrusted")
PLAN: Final = Purpose("mosaic-plan", "plan_untrusted")
SIGNING: Final = Bounds(seconds=120, output=64 * 1024)  # a passphrase is typed, a token touched
VERIFYING: Final = Bounds(seconds=30, output=64 * 1024)


def sign(content: bytes, key: Path, purpose: Purpose) -> bytes:
    """Return the armored signature of `content` by a private key, or by its agent's.

    Raises:
        NeedsEdit: `value_invalid`: the key cannot sign. `config_invalid`: there is no ssh-keygen.
    """
    result = _run(["-Y", "sign", "-n", purpose.namespace, "-f", os.fspath(key)], content, SIGNING)
    if result.code != 0:
        raise NeedsEdit(
            "value_invalid",
            f"{str(key)!r} cannot sign: {_reason(result)}",
            hint="name a private key of ssh-keygen, or a public one whose private one an agent has",
        )
    return result.output


def verify(
    content: bytes, signature: bytes, allowed_signers: Path, at: datetime, purpose: Purpose
) -> str:
    """Return who signed `content`: a principal of the allowed signers whose key was valid `at`.

    Raises:
        Refused: the code of the purpose. NeedsEdit: `config_invalid`: there is no ssh-keygen.
    """
    with tempfile.TemporaryDirectory(prefix="mosaic-signature-") as folder:
        file = Path(folder) / "sig"
        file.write_bytes(signature)
        options = [
            *("-s", os.fspath(file), "-f", os.fspath(allowed_signers)),
            f"-Overify-time={at:%Y%m%d%H%M%SZ}",
        ]
        search = _run(["-Y", "find-principals", *options], b"", VERIFYING)
        names = search.output.decode("utf-8", "replace").splitlines()
        if search.code != 0 or not names:
            raise _untrusted(purpose, "its signature is by none of the allowed signers")
        words = ["-Y", "verify", "-n", purpose.namespace, "-I", names[0], *options]
        result = _run(words, content, VERIFYING)
    if result.code != 0:
        raise _untrusted(purpose, f"its signature does not verify: {_reason(result)}")
    return printable(names[0], 255)


def _run(words: list[str], content: bytes, bounds: Bounds) -> ProcessResult:
    try:
        return run_process(["ssh-keygen", *words], bounds=bounds, content=content, terminal=True)
    except (OSError, BoundExceeded):
        raise NeedsEdit(
            "config_invalid",
            "ssh-keygen cannot be run, or does not end",
            hint="install the SSH client (openssh-client)",
        ) from None


def _reason(result: ProcessResult) -> str:
    lines = (result.errors + b"\n" + result.output).decode("utf-8", "replace").split("\n")
    return printable(next((line.strip() for line in lines if line.strip()), "no reason given"), 255)


def _untrusted(purpose: Purpose, message: str) -> Refused:
    hint = (
        f'allow its signer: a line with namespaces="{purpose.namespace}" in MOSAIC_ALLOWED_SIGNERS'
    )
    return Refused(purpose.code, message, hint=hint)
