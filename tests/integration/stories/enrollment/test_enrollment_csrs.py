"""What a CSR says beside its key, at the endpoint: nothing of it is in a certificate."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from reconciler.crypto.certificates import read_certificate
from reconciler.crypto.keys import generate_key
from tests.support.gateways.enrollee import (
    Enrollee,
    Rows,
    problem_code,
)

if TYPE_CHECKING:
    from pathlib import Path

    import httpx


@pytest.mark.parametrize(
    "extension",
    [
        "subjectAltName=otherName:1.3.6.1.4.1.99999.1;UTF8:STOLEN",
        "basicConstraints=critical,CA:TRUE",
        "extendedKeyUsage=serverAuth,codeSigning",
        "keyUsage=keyCertSign,cRLSign",
        "",
    ],
)
def test_what_else_a_csr_carries_changes_nothing_but_the_key(
    client: httpx.Client, rows: Rows, tmp_path: Path, extension: str
) -> None:
    csr = openssl_csr(tmp_path, "/CN=someone else/O=Evil", extension)

    issued = Enrollee(csr=csr).enroll(client, rows.invite("beta-tasks"))

    assert issued.status_code == 201, issued.text
    facts = read_certificate(issued.json()["certificate"])
    grant = issued.json()["grant"]["id"]
    assert facts.common_names == (f"grant-{grant}",)
    assert dict(facts.other_names)["1.3.6.1.4.1.99999.1"] == grant
    assert len(facts.other_names) == 2
    assert facts.general_names == (f"uri:mosaic://grant/{grant}",)
    assert facts.extended_key_usage == ("1.3.6.1.5.5.7.3.2",)
    assert not facts.is_ca


@pytest.mark.parametrize(
    "name", ["DNS:evil.example", "IP:10.0.0.1", "URI:spiffe://x/y", "email:a@b.c"]
)
def test_a_csr_with_names_is_422_and_the_token_is_not_spent(
    client: httpx.Client, rows: Rows, tmp_path: Path, name: str
) -> None:
    token = rows.invite("beta-tasks")
    csr = openssl_csr(tmp_path, "/CN=peer", f"subjectAltName={name}")

    assert problem_code(Enrollee(csr=csr).enroll(client, token), 422) == "csr_names"
    assert rows.one("SELECT status FROM federation_enrollment_tokens") == "open"


def test_a_csr_that_the_ca_cannot_read_is_the_csrs_fault_and_its_key_goes_on(
    client: httpx.Client, rows: Rows
) -> None:
    token, key = rows.invite("beta-tasks"), generate_key()
    attribute = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "B\u00e4ta", _ASN1Type.IA5String)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([attribute]))
    unreadable = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    refused = Enrollee(key, csr=unreadable.decode()).enroll(client, token)

    assert problem_code(refused, 400) == "csr_malformed"
    assert Enrollee(key).enroll(client, token).status_code == 201


def openssl_csr(folder: Path, subject: str, extension: str) -> str:
    """Return a CSR as openssl makes it, with one extension."""
    config = f"[req]\ndistinguished_name=dn\nreq_extensions=ext\n[dn]\n[ext]\n{extension}\n"
    (folder / "openssl.cnf").write_text(config if extension else config.replace("req_ext", "#"))
    made = subprocess.run(
        [
            "openssl",
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            folder / "key.pem",
            "-subj",
            subject,
            "-config",
            folder / "openssl.cnf",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout
