"""Proofs of possession, judged point by point (RFC 9449 4.3)."""

from __future__ import annotations

import base64
import json
import warnings
from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from reconciler.crypto.keys import PrivateKey, generate_key, private_key_pem, spki_sha256
from reconciler.crypto.proof import MAX_PROOF, VerifiedProof, make_proof, verify_proof
from reconciler.errors import Refused

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
URL = "https://alpha.example:8443/federation/v1/certificates/pickup"
EC = generate_key()
RSA = rsa.generate_private_key(65537, 3072)
KEYS: dict[str, PrivateKey] = {
    "ES256": EC,
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": RSA,
    "PS256": RSA,
}
SIGNER = ECKey.import_key(private_key_pem(EC))
PUBLIC = SIGNER.as_dict(private=False)
CLAIMS: dict[str, Any] = {"htm": "POST", "htu": URL, "iat": int(NOW.timestamp()), "jti": "one"}
HEADER: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": PUBLIC}


def signed(header: dict[str, Any], payload: bytes, key: Any = SIGNER) -> str:
    every = [*jws.JWSRegistry.recommended, "ES384", "ES512", "EdDSA", "PS256", "HS256", "none"]
    registry = jws.JWSRegistry(algorithms=every, strict_check_header=False)
    with warnings.catch_warnings(action="ignore"):  # the library warns of weak names and keys
        return jws.serialize_compact(header, payload, key, registry=registry)


def proof(header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Return a proof by `EC` that is right but for what is given; None takes a claim away."""
    payload = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return signed(HEADER | (header or {}), json.dumps(payload).encode())


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def by_hand(header: dict[str, Any]) -> str:
    """Return a proof whose ES256 signature is right, past the library's checks of its header."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(CLAIMS).encode())}"
    r, s = decode_dss_signature(EC.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def verify(presented: str, now: datetime = NOW) -> VerifiedProof:
    return verify_proof(presented, "POST", (URL,), now)


def refused(presented: str, now: datetime = NOW) -> None:
    with pytest.raises(Refused) as caught:
        verify(presented, now)
    assert caught.value.code == "proof_invalid"
    assert caught.value.message == "the proof does not verify, or its key has no certificate here"


def imported(alg: str) -> Any:
    pem = private_key_pem(KEYS[alg])
    kinds: dict[str, Any] = {"ES": ECKey, "Ed": OKPKey, "RS": RSAKey, "PS": RSAKey}
    return kinds[alg[:2]].import_key(pem)


@pytest.mark.parametrize("alg", KEYS)
def test_each_algorithm_of_the_contract_is_accepted(alg: str) -> None:
    key = imported(alg)
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False)}
    proved = verify(signed(header, json.dumps(CLAIMS).encode(), key))
    assert proved == VerifiedProof(spki_sha256(KEYS[alg].public_key()), "one", None)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "EdDSA", "RS256"])
def test_what_we_make_we_accept(alg: str) -> None:
    claims = {"jti": "one", "csr#S256": "abc"}
    proved = verify(make_proof(KEYS[alg], "POST", URL, NOW, claims))
    assert proved.csr_digest == "abc"
    assert proved.spki_sha256 == spki_sha256(KEYS[alg].public_key())


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "é.é.é", "\ud800", "a" * MAX_PROOF])
def test_what_is_no_single_jwt_is_refused(text: str) -> None:  # (1) (2)
    refused(text)


def test_two_proofs_are_refused() -> None:  # (1)
    refused(f"{proof()},{proof()}")


@pytest.mark.parametrize("claim", ["htm", "htu", "iat", "jti"])
def test_a_missing_claim_is_refused(claim: str) -> None:  # (3)
    refused(proof(**{claim: None}))


@pytest.mark.parametrize("typ", ["JWT", "dpop", "DPOP+JWT", "", None, 1, ["dpop+jwt"]])
def test_another_type_is_refused(typ: Any) -> None:  # (4)
    refused(by_hand(HEADER | {"typ": typ}))


def test_alg_none_is_refused() -> None:  # (5)
    signature_less = by_hand(HEADER | {"alg": "none"}).rpartition(".")[0]
    refused(f"{signature_less}.")


def test_a_shared_secret_is_refused() -> None:  # (5)
    key = OctKey.import_key("s" * 32)
    for jwk in (PUBLIC, key.as_dict(private=True)):
        header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": jwk}
        refused(signed(header, json.dumps(CLAIMS).encode(), key))


def test_an_algorithm_that_is_not_of_the_key_is_refused() -> None:  # (5)
    other = OKPKey.import_key(private_key_pem(KEYS["EdDSA"]))
    header = HEADER | {"alg": "EdDSA"}
    refused(signed(header, json.dumps(CLAIMS).encode(), other))
    header = HEADER | {"jwk": other.as_dict(private=False)}
    refused(signed(header, json.dumps(CLAIMS).encode()))


def test_keys_that_are_never_signed_are_refused() -> None:  # (5)
    p521 = ECKey.generate_key("P-521")
    header = {"typ": "dpop+jwt", "alg": "ES512", "jwk": p521.as_dict(private=False)}
    refused(signed(header, json.dumps(CLAIMS).encode(), p521))
    small = RSAKey.import_key(private_key_pem(rsa.generate_private_key(65537, 2048)))
    header = {"typ": "dpop+jwt", "alg": "RS256", "jwk": small.as_dict(private=False)}
    refused(signed(header, json.dumps(CLAIMS).encode(), small))
    goldilocks = OKPKey.import_key(ed448.Ed448PrivateKey.generate())
    header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": goldilocks.as_dict(private=False)}
    refused(signed(header, json.dumps(CLAIMS).encode(), goldilocks))


@pytest.mark.parametrize(
    "numbers",
    [
        {"n": encoded(b"\xff" * 1900)},
        {"n": encoded(b"\xff" * 256)},
        {"e": encoded(b"\xff" * 384)},
        {"e": "Aw"},
    ],
)
def test_numbers_of_a_key_are_judged_before_they_are_used(
    numbers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(jws, "deserialize_compact")
    monkeypatch.delattr(RSAKey, "import_key")
    public = RSA.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": encoded(public.n.to_bytes(384, "big")), "e": "AQAB", **numbers}
    refused(by_hand(HEADER | {"alg": "RS256", "jwk": jwk}))


def test_claims_are_judged_before_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(jws, "deserialize_compact")
    for claims in ({"htm": "GET"}, {"htu": "https://x"}, {"iat": 1}, {"jti": ""}):
        refused(proof(**claims))


def test_a_signature_of_another_key_is_refused() -> None:  # (6)
    refused(signed(HEADER, json.dumps(CLAIMS).encode(), ECKey.generate_key("P-256")))


def test_a_changed_claim_is_refused() -> None:  # (6)
    head, _, signature = proof().split(".")
    body = proof(jti="two").split(".")[1]
    refused(f"{head}.{body}.{signature}")


def test_a_private_key_inside_is_refused() -> None:  # (7)
    refused(proof({"jwk": SIGNER.as_dict(private=True)}))


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        "text",
        [],
        {},
        {"kty": []},
        {"kty": "EC"},
        {"kty": "EC", "crv": "P-256", "x": 1, "y": 2},
        PUBLIC | {"x": "AAAA"},
        PUBLIC | {"y": PUBLIC["x"]},
        PUBLIC | {"crv": "P-999"},
        {"kty": "RSA", "n": "AA", "e": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": PUBLIC["x"]},
        {"kty": "oct", "k": "c2VjcmV0"},
    ],
)
def test_a_key_that_is_none_is_refused(jwk: Any) -> None:
    refused(by_hand(HEADER | {"jwk": jwk}))


def test_another_method_is_refused() -> None:  # (8)
    refused(proof(htm="GET"))
    refused(proof(htm="post"))


@pytest.mark.parametrize(
    "url",
    [
        URL.replace("https", "http"),
        URL.replace("alpha", "beta"),
        URL.replace("8443", "8444"),
        URL.replace(":8443", ""),
        URL.replace("pickup", "renew"),
        URL + "/",
        "https://[::1",
        "https://alpha.example:99999/",
        "",
        7,
        [URL],
    ],
)
def test_another_url_is_refused(url: Any) -> None:  # (9)
    refused(proof(htu=url))


@pytest.mark.parametrize(
    "url", [URL + "?x=1", URL + "#f", URL.replace("alpha", "ALPHA").replace("https", "HTTPS")]
)
def test_a_url_is_compared_without_query_and_case_of_the_host(url: str) -> None:  # (9)
    verify(proof(htu=url))


def test_the_default_port_may_be_left_out() -> None:
    claims = CLAIMS | {"htu": "https://alpha.example/x"}
    presented = signed(HEADER, json.dumps(claims).encode())
    verify_proof(presented, "POST", ("https://alpha.example:443/x",), NOW)


@pytest.mark.parametrize("seconds", [-60, 0, 60])
def test_a_clock_within_60_seconds_is_accepted(seconds: int) -> None:  # (11)
    verify(proof(), NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-61, 61, -86400, 86400])
def test_a_clock_further_off_is_refused(seconds: int) -> None:  # (11)
    refused(proof(), NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-59.75, 0.25, 59.5])
def test_a_fraction_of_a_second_is_a_moment_too(seconds: float) -> None:  # RFC 7519 2
    verify(proof(iat=NOW.timestamp() + seconds))


@pytest.mark.parametrize("iat", [True, "1", 1.5, nan, inf, -inf, 10**400, -(10**400), [1], {}])
def test_an_iat_that_is_no_moment_is_refused(iat: Any) -> None:
    refused(proof(iat=iat))


@pytest.mark.parametrize("jti", ["", "a" * 129, "a b", "ü", 1, "a\n"])
def test_a_jti_that_is_no_short_text_is_refused(jti: Any) -> None:
    refused(proof(jti=jti))


@pytest.mark.parametrize("csr", [1, ["x"], {}, True])
def test_a_csr_digest_that_is_no_text_is_refused(csr: Any) -> None:
    refused(proof(**{"csr#S256": csr}))


def test_more_than_8192_characters_are_refused() -> None:
    long, fits = proof(padding="x" * 6200), proof(padding="x" * 5000)
    assert len(fits) < MAX_PROOF < len(long)
    refused(long)
    verify(fits)


def test_a_critical_header_that_nobody_knows_is_refused() -> None:  # RFC 7515 4.1.11
    refused(by_hand(HEADER | {"crit": ["x"], "x": 1}))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b"null", b"\xff", b"{", b"[" * 5000, b'{"iat": 1e999}']
)
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    refused(signed(HEADER, payload))


@pytest.mark.parametrize("header", [b"", b"[]", b"1", b"null", b"\xff", b"{", b"[" * 5000])
def test_a_header_that_is_no_object_is_refused(header: bytes) -> None:
    refused(f"{encoded(header)}.{proof().partition('.')[2]}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["typ", "alg", "jwk", "crit", "b64", "kid"]), JSON))
def test_no_header_crashes(header: dict[str, Any]) -> None:
    refused(f"{encoded(json.dumps(header).encode())}.{proof().partition('.')[2]}")


@given(st.text(max_size=200))
def test_no_text_crashes(text: str) -> None:
    refused(text)
