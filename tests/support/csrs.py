"""CSRs for tests: ours, those of openssl and of other tools, and the refusal of one."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest

from reconciler.crypto.csr import make_csr, read_csr
from reconciler.crypto.keys import generate_key
from reconciler.errors import Refused
from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


SAMPLES = ROOT / "tests" / "data" / "csr"
KEY = generate_key()
OURS = make_csr(KEY)
BEGIN, END = "-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----"
P256 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def openssl_csr(folder: Path, *arguments: str, key: tuple[str, ...] = P256) -> str:
    """Return the CSR that `openssl req` makes with a new key."""
    made = subprocess.run(
        ["openssl", "req", "-new", *key, "-nodes", "-keyout", folder / "key.pem", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return made.stdout


def pem_of(der: bytes) -> str:
    return f"{BEGIN}\n{base64.encodebytes(der).decode()}{END}\n"


def der_of(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


def sample(name: str) -> str:
    """Return a CSR as a common tool wrote it."""
    return (SAMPLES / f"{name}.csr").read_text()


def refused(unverified_csr: str) -> Refused:
    with pytest.raises(Refused) as caught:
        read_csr(unverified_csr)
    return caught.value
