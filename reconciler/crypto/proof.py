"""Proofs of possession: DPoP (RFC 9449) by the key of a CSR or a certificate."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from reconciler.core.issuance.refusals import proof_invalid
from reconciler.core.issuance.x509 import MAX_RSA_BITS, MIN_RSA_BITS
from reconciler.crypto.keys import PrivateKey, describe_key, private_key_pem, spki_sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from joserfc.jws import JWSAlgModel  # type: ignore[attr-defined]  # its only public name

MAX_PROOF: Final = 8192  # characters
PROOF_SKEW: Final = timedelta(seconds=60)

_ALGORITHMS: Final = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "Ed25519": ("EdDSA",),
    "RSA": ("RS256", "PS256"),
}
_ALL: Final = sorted({name for names in _ALGORITHMS.values() for name in names})
_KINDS: Final[dict[str, type[ECKey | OKPKey | RSAKey]]] = {
    "EC": ECKey,
    "OKP": OKPKey,
    "RSA": RSAKey,
}
_RSA_E: Final = "AQAB"  # 65537
_PRIVATE_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
# what hostile JSON and JWKs make the parsers raise: 1,000 nested brackets are a RecursionError
_UNUSABLE: Final = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
_JTI: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A proof that verified: who signed it (64 hex digits) and the CSR it is bound to, if any."""

    spki_sha256: str
    jti: str
    csr_digest: str | None


def make_proof(
    key: PrivateKey, method: str, url: str, now: datetime, claims: Mapping[str, str]
) -> str:
    """Return a proof for one request; `claims` hold a fresh `jti`, and `csr#S256` to renew."""
    kind, _ = describe_key(key.public_key())
    signer = _import(private_key_pem(key), kind)
    header = {
        "typ": "dpop+jwt",
        "alg": _ALGORITHMS[kind][0],
        "jwk": signer.as_dict(private=False),
    }
    payload = {"htm": method, "htu": url, "iat": int(now.timestamp()), **claims}
    return jwt.encode(header, payload, signer, registry=_registry())


def verify_proof(
    presented_proof: str, method: str, urls: Collection[str], now: datetime
) -> VerifiedProof:
    """Return what a presented proof proves (RFC 9449 4.3; numbers as there).

    Raises:
        Refused: `proof_invalid`, the same for every reason.
    """
    if len(presented_proof) > MAX_PROOF:
        raise proof_invalid()
    try:
        unverified = jws.extract_compact(presented_proof.encode(), registry=_registry())
        header = unverified.headers()
        key = _public_key(header)  # (5) (7)
        proof = _claimed(unverified.payload, spki_sha256(_crypto_key(key)), method, urls, now)
        if proof is None or header.get("typ") != "dpop+jwt":  # (4)
            raise proof_invalid()
        # last, because it costs most
        jws.deserialize_compact(presented_proof, key, _ALL, _registry())  # (2) (6)
    except _UNUSABLE:
        raise proof_invalid() from None
    return proof


def _claimed(
    payload: bytes, spki_sha256: str, method: str, urls: Collection[str], now: datetime
) -> VerifiedProof | None:
    """Return what the claims prove once their signature has verified; None if they do not fit."""
    claims = json.loads(payload)
    iat, jti, csr = claims.get("iat"), claims.get("jti"), claims.get("csr#S256")
    well_formed = (
        isinstance(iat, (int, float))  # RFC 7519 2, NumericDate: a fraction is allowed
        and not isinstance(iat, bool)
        and isinstance(jti, str)
        and _JTI.fullmatch(jti) is not None  # (3)
        and (csr is None or isinstance(csr, str))
    )
    if not well_formed or claims.get("htm") != method:  # (8)
        return None
    if not any(_same_url(claims.get("htu"), url) for url in urls):  # (9)
        return None
    earliest, latest = (now - PROOF_SKEW).timestamp(), (now + PROOF_SKEW).timestamp()
    if not earliest <= iat <= latest:  # (11)
        return None
    return VerifiedProof(spki_sha256, jti, csr)


class _Registry(jws.JWSRegistry):
    max_header_length = MAX_PROOF  # the library's 512 octets do not hold the key of an RSA proof

    def get_alg(self, name: str) -> JWSAlgModel:
        # the library warns of the name EdDSA (RFC 9864), which is the contract's
        if name not in _ALL:
            raise UnsupportedAlgorithmError(f"the algorithm {name!r} is not allowed")
        return self.algorithms[name]


def _registry() -> jws.JWSRegistry:
    # `jwk` and `typ` are ours to judge; the registry refuses what it does not know of
    return _Registry(algorithms=_ALL, strict_check_header=False)


def _import(pem: bytes, kind: str) -> ECKey | OKPKey | RSAKey:
    if kind == "RSA":
        return RSAKey.import_key(pem)
    return OKPKey.import_key(pem) if kind == "Ed25519" else ECKey.import_key(pem)


def _public_key(header: Mapping[str, Any]) -> Key:
    jwk = header["jwk"]
    if not isinstance(jwk, dict) or any(member in jwk for member in _PRIVATE_MEMBERS):
        raise ValueError("not a public key")
    _check_numbers(jwk)
    key = _KINDS[jwk["kty"]].import_key(jwk)
    kind, bits = describe_key(_crypto_key(key))
    if header["alg"] not in _ALGORITHMS[kind]:
        raise ValueError("the algorithm is not the key's")
    if kind == "RSA" and not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise ValueError("an RSA key of a size that is not signed")
    return key


def _check_numbers(jwk: Mapping[str, Any]) -> None:
    """Raise `ValueError` for a key that costs more than it may before its numbers are used."""
    if jwk["kty"] != "RSA":
        if jwk["crv"] not in _ALGORITHMS:
            raise ValueError("a curve that is not signed")
    elif jwk["e"] != _RSA_E or not MIN_RSA_BITS // 6 <= len(jwk["n"]) <= MAX_RSA_BITS // 6 + 1:
        raise ValueError("an RSA key of a size or an exponent that is not signed")


def _crypto_key(key: Key) -> object:
    return key.public_key


def _same_url(presented: object, url: str) -> bool:
    try:
        return isinstance(presented, str) and _normal(presented) == _normal(url)
    except ValueError:  # a port or an IPv6 address that is none
        return False


def _normal(url: str) -> tuple[str, str, int, str]:
    """Return what RFC 9449 4.3 compares: no query, no fragment, RFC 3986 6.2.2 and 6.2.3."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    return parts.scheme.lower(), (parts.hostname or "").lower(), port, parts.path or "/"
