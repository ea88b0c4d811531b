"""Private and public keys: made, read, written, and named by the hash of their public part."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def generate_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def private_key_pem(key: PrivateKey) -> bytes:
    """Return the key as unencrypted PKCS#8 PEM: seal it, or write it with mode 0400."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def load_private_key(pem: bytes) -> PrivateKey:
    """Return the key of a PKCS#8 PEM that we wrote; raise `ValueError` for another."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(
        key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    ):
        raise ValueError("the private key is of a kind that is not used here")  # noqa: TRY004 - the caller gave bytes
    return key


def spki_der(key: Any) -> bytes:
    """Return the SubjectPublicKeyInfo (RFC 5280 4.1.2.7) of a public key, in DER."""
    der: bytes = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


def spki_sha256(key: Any) -> str:
    """Return the SHA-256 of the key's SubjectPublicKeyInfo, as 64 hex digits."""
    return hashlib.sha256(spki_der(key)).hexdigest()


def describe_key(key: object) -> tuple[str, int]:
    """Return the kind of a public key (`P-256`, `RSA`, …) and its size in bits."""
    match key:
        case ec.EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name, key.curve.name), key.key_size
        case rsa.RSAPublicKey():
            return "RSA", key.key_size
        case ed25519.Ed25519PublicKey():
            return "Ed25519", 256
        case _:
            name = type(key).__name__.lstrip("_").removesuffix("PublicKey")
            return name, getattr(key, "key_size", 0)


def rsa_exponent(key: object) -> int | None:
    """Return the public exponent of an RSA key, None of another."""
    return key.public_numbers().e if isinstance(key, rsa.RSAPublicKey) else None
