"""Signatures of SSH keys over checkpoints, made and verified by ssh-keygen(1).

So keys in an agent or on a token can sign, and who has no Mosaic can verify (PROTOCOL.sshsig).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.errors import NeedsEdit, Refused

if TYPE_CHECKING:
    from datetime import datetime

NAMESPACE: Final = "mosaic-checkpoint"
SIGN_S: Final = 120  # somebody may have to type a passphrase, or to touch a token
VERIFY_S: Final = 30


def sign(content: bytes, key: Path) -> bytes:
    """Return the armored signature of `content` by a private key, or by its agent's.

    Raises:
        NeedsEdit: `value_invalid`: the key cannot sign. `config_invalid`: there is no ssh-keygen.
    """
    done = _run(["-Y", "sign", "-n", NAMESPACE, "-f", os.fspath(key)], content, SIGN_S)
    if done.returncode != 0:
        raise NeedsEdit(
            "value_invalid",
            f"{str(key)!r} cannot sign: {_reason(done)}",
            hint="name a private key of ssh-keygen, or a public one whose private one an agent has",
        )
    return done.stdout


def verify(content: bytes, signature: bytes, allowed_signers: Path, at: datetime) -> str:
    """Return who signed `content`: a principal of the allowed signers whose key held `at`.

    Raises:
        Refused: `checkpoint_untrusted`. NeedsEdit: `config_invalid`: there is no ssh-keygen.
    """
    with tempfile.TemporaryDirectory(prefix="mosaic-signature-") as folder:
        file = Path(folder) / "sig"
        file.write_bytes(signature)
        options = [
            *("-s", os.fspath(file), "-f", os.fspath(allowed_signers)),
            f"-Overify-time={at:%Y%m%d%H%M%SZ}",
        ]
        found = _run(["-Y", "find-principals", *options], b"", VERIFY_S)
        names = found.stdout.decode("utf-8", "replace").splitlines()
        if found.returncode != 0 or not names:
            raise _untrusted("its signature is by none of the allowed signers")
        words = ["-Y", "verify", "-n", NAMESPACE, "-I", names[0], *options]
        done = _run(words, content, VERIFY_S)
    if done.returncode != 0:
        raise _untrusted(f"its signature does not verify: {_reason(done)}")
    return printable(names[0], 255)


def _run(words: list[str], content: bytes, limit_s: int) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", *words], input=content, capture_output=True, timeout=limit_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        raise NeedsEdit(
            "config_invalid",
            "ssh-keygen cannot be run, or does not end",
            hint="install the SSH client (openssh-client)",
        ) from None


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace").split("\n")
    return printable(next((line.strip() for line in lines if line.strip()), "no reason given"), 255)


def _untrusted(message: str) -> Refused:
    hint = f'allow its signer: a line with namespaces="{NAMESPACE}" in MOSAIC_ALLOWED_SIGNERS'
    return Refused("checkpoint_untrusted", message, hint=hint)
