"""The octets that the attacks send."""

from __future__ import annotations

import base64
import json
import secrets
from functools import cache
from typing import Final

from reconciler.core.issuance.tokens import PUBLIC_ID_RANDOM_BYTES, SECRET_RANDOM_BYTES, new_token

API: Final = b"/federation/v1"
HOST: Final = b"Host: a\r\n"
GET: Final = b"GET /healthz HTTP/1.1\r\n"
POST: Final = b"POST " + API + b"/enroll HTTP/1.1\r\n" + HOST
CHUNKED: Final = POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

PROBE: Final = GET + HOST + b"\r\n"
LARGE: Final = b"GET " + API + b"/openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
BODY_HEAD: Final = POST + b"Content-Type: application/json\r\nContent-Length: 9999\r\n\r\n{"
ENDLESS_HEAD: Final = GET + HOST + b"X: "
EXPECTING: Final = POST + (
    b"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n"
)

SMUGGLED: Final[tuple[tuple[str, bytes, int], ...]] = (
    *(
        (name, request, 400)
        for name, request in (
            (
                "a length beside a coding",
                POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            ("two lengths", POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n"),
            ("a list of lengths", POST + b"Content-Length: 0, 0\r\n\r\n"),
            ("a length with a sign", POST + b"Content-Length: +0\r\n\r\n"),
            ("a bare LF", b"GET /healthz HTTP/1.1\nHost: a\n\n"),
            ("a bare LF in a field", GET + b"Host: a\nX: a\r\n\r\n"),
            ("a folded field", GET + HOST + b"X: a\r\n b\r\n\r\n"),
            ("two hosts", GET + HOST + HOST + b"\r\n"),
            ("no host", GET + b"\r\n"),
            ("a space before a colon", GET + b"Host : a\r\n\r\n"),
            ("NUL", GET + HOST + b"X: a\x00b\r\n\r\n"),
            ("HTTP/0.9", b"GET /healthz\r\n"),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("CONNECT", b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n"),
            ("a chunk's extension", CHUNKED + b"2;\x01=\r\n{}\r\n0\r\n\r\n"),
            ("a chunk's size with a sign", CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n"),
            ("many small chunks", CHUNKED + b"1\r\na\r\n" * 16_384 + b"0\r\n\r\n"),
            ("a chunk that ends in LF", CHUNKED + b"2\r\n{}\n0\r\n\r\n"),
        )
    ),
    ("a head of 60 KB", GET + HOST + b"X: " + b"a" * 60_000 + b"\r\n\r\n", 431),
    ("2,000 fields", GET + HOST + b"X: a\r\n" * 2_000 + b"\r\n", 431),
)


@cache
def costly_requests() -> tuple[bytes, ...]:
    """Return enrollments with keys, and looks with proofs, that cost much to verify."""
    odd = (1 << 3071) + 1
    csrs = (_rsa_csr(15_200, 65537), _rsa_csr(3072, odd), _rsa_csr(4096, 65537))
    unknown = b"Bearer " + _unknown_token()
    proofs = (_rsa_proof(3072, odd), _rsa_proof(40_000, 65537), _rsa_proof(4096, 65537))
    return (
        *(_post({"Authorization": unknown}, csr) for csr in csrs),
        *(
            b"GET " + API + b"/grant HTTP/1.1\r\n" + HOST + b"DPoP: " + proof + b"\r\n\r\n"
            for proof in proofs
        ),
    )


def token_requests() -> tuple[bytes, ...]:
    """Return looks at tokens that nobody made."""
    return tuple(
        b"GET "
        + API
        + b"/enroll HTTP/1.1\r\n"
        + HOST
        + b"Authorization: Bearer "
        + _unknown_token()
        + b"\r\n\r\n"
        for _ in range(20)
    )


def _unknown_token() -> bytes:
    parts = (secrets.token_bytes(PUBLIC_ID_RANDOM_BYTES), secrets.token_bytes(SECRET_RANDOM_BYTES))
    return new_token(*parts).spelled().encode()


def _post(headers: dict[str, bytes], csr: bytes) -> bytes:
    pem = base64.encodebytes(csr).decode()
    begin, end = "-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----"
    body = json.dumps({"csr": f"{begin}\n{pem}{end}\n"}).encode()
    fields = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers.items())
    length = f"Content-Length: {len(body)}\r\n\r\n".encode()
    return POST + fields + b"Content-Type: application/json\r\n" + length + body


def _rsa_csr(bits: int, exponent: int) -> bytes:
    key = _tlv(0x30, _integer((1 << (bits - 1)) + (1 << 30) + 1), _integer(exponent))
    rsa, sha256 = (bytes.fromhex(f"06092a864886f70d0101{each}0500") for each in ("01", "0b"))
    spki = _tlv(0x30, _tlv(0x30, rsa), _tlv(3, b"\0" + key))
    signed = _tlv(0x30, _integer(0), _tlv(0x30), spki, _tlv(0xA0))
    return _tlv(0x30, signed, _tlv(0x30, sha256), _tlv(3, b"\0" + b"\2" * min(bits // 8, 512)))


def _rsa_proof(bits: int, exponent: int) -> bytes:
    modulus = (1 << (bits - 1)) + (1 << 30) + 1
    jwk = {"kty": "RSA", "n": _base64url(modulus), "e": _base64url(exponent)}
    head = json.dumps({"typ": "dpop+jwt", "alg": "RS256", "jwk": jwk})
    parts = (head.encode(), b'{"htm":"GET"}', b"\2" * min(bits // 8, 512))
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def _base64url(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _integer(number: int) -> bytes:
    return _tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _tlv(tag: int, *parts: bytes) -> bytes:
    value = b"".join(parts)
    size = len(value).to_bytes(2, "big")
    return bytes([tag]) + (size[1:] if len(value) < 128 else b"\x82" + size) + value
