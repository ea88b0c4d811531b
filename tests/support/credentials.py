"""Credentials for tests of folders: real key pairs, issued by a throw-away CA."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.credentials.bundle import CredentialFiles
from reconciler.crypto.ca_material import new_ca
from tests.support.gateways.liar import server_certificate


def credential_files() -> CredentialFiles:
    """Return a key pair of its own, with its CA's root."""
    material = new_ca("tests", datetime.now(UTC))
    pem = server_certificate(material, "127.0.0.1")
    key, mark, certificate = pem.partition(b"-----BEGIN CERTIFICATE-----")
    return CredentialFiles(mark + certificate, key, material.root.encode(), b"{}\n")
