"""What CSRs and certificates are accepted: a test for each point of the policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.core.issuance.x509 import (
    OID_CLIENT_AUTH,
    CertificateFacts,
    CsrFacts,
    ExpectedLeaf,
    GrantIdentity,
    check_csr,
    check_enrolled,
    check_leaf,
)
from reconciler.errors import Refused, Retry

END = datetime(2026, 6, 2, 12, tzinfo=UTC)
ARC = "1.3.6.1.4.1.99999"
GRANT_ID = "0197f000-0000-7000-8000-000000000001"
CSR = CsrFacts("ab" * 32, "P-256", 256, (), ())
EXPECTED = ExpectedLeaf(
    GrantIdentity(GRANT_ID, "maria@alpha.example"), "1f", "ab" * 32, END, ("https://a",)
)
LEAF = CertificateFacts(
    serial="1f",
    fingerprint="sha256:" + "00" * 32,
    spki_sha256="ab" * 32,
    common_names=(f"grant-{GRANT_ID}",),
    not_before=END - timedelta(days=1),
    not_after=END,
    is_ca=False,
    extended_key_usage=(OID_CLIENT_AUTH,),
    other_names=((f"{ARC}.1", GRANT_ID), (f"{ARC}.2", "maria@alpha.example")),
    general_names=(f"uri:mosaic://grant/{GRANT_ID}",),
    crl_urls=("https://a/crl",),
)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("P-256", 256), ("P-384", 384), ("Ed25519", 256), ("RSA", 3072), ("RSA", 4096)],
)
def test_keys_that_are_signed(kind: str, bits: int) -> None:
    exponent = 65537 if kind == "RSA" else None
    check_csr(replace(CSR, key_type=kind, key_bits=bits, rsa_exponent=exponent))


@pytest.mark.parametrize("exponent", [1, 3, 17, 65539, (1 << 3071) + 1, None])
def test_an_rsa_key_of_another_exponent_is_refused(exponent: int | None) -> None:
    with pytest.raises(Refused, match="RSA with 3072 bits") as caught:
        check_csr(replace(CSR, key_type="RSA", key_bits=3072, rsa_exponent=exponent))
    assert caught.value.code == "csr_key"
    assert "65537" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("RSA", 2048),
        ("RSA", 3071),
        ("RSA", 4097),
        ("P-521", 521),
        ("secp256k1", 256),
        ("DSA", 2048),
    ],
)
def test_keys_that_are_not(kind: str, bits: int) -> None:
    with pytest.raises(Refused, match=f"got a key of {kind} with {bits} bits") as caught:
        check_csr(replace(CSR, key_type=kind, key_bits=bits))
    assert caught.value.code == "csr_key"


@pytest.mark.parametrize("name", ["dns:a.example", "ip:127.0.0.1", "uri:x:y", "email:a@b.example"])
def test_names_in_a_csr_are_refused_by_kind_and_not_shown(name: str) -> None:
    with pytest.raises(Refused) as caught:
        check_csr(replace(CSR, names=(name,)))
    assert caught.value.code == "csr_names"
    kind = name.split(":", maxsplit=1)[0]
    assert caught.value.message == f"the CSR carries names of the kinds {kind}"


@pytest.mark.parametrize(
    "names",
    [("beta",), ("a" * 65,), ("10.0.0.1",), ("x:y",), ("a@b",), ("",), ("a", "b"), ("ü\n",)],
)
def test_the_subject_does_not_matter(names: tuple[str, ...]) -> None:
    check_csr(replace(CSR, common_names=names))


@pytest.mark.parametrize(
    ("common_names", "name"),
    [
        (("beta",), "dns:beta"),
        (("*.beta.example", "*.beta.example"), "dns:*.beta.example"),
        (("10.0.0.7",), "ip:10.0.0.7"),
        (("2001:db8::1",), "ip:2001:db8::1"),
        (("a@beta.example",), "email:a@beta.example"),
        (("spiffe://beta.example/x",), "uri:spiffe://beta.example/x"),
    ],
)
def test_a_name_that_only_repeats_the_common_name_is_ignored(
    common_names: tuple[str, ...], name: str
) -> None:
    check_csr(replace(CSR, common_names=common_names, names=(name, name)))


@pytest.mark.parametrize(
    ("common_names", "names"),
    [
        ((), ("dns:beta",)),
        (("beta",), ("dns:Beta",)),
        (("beta",), ("dns:beta", "dns:other")),
        (("beta", "users"), ("dns:beta",)),
        (("10.0.0.7",), ("dns:10.0.0.7",)),
        (("beta",), ("email:beta",)),
        (("x:y",), ("dns:x:y",)),
        (("a@b",), ("dns:a@b",)),
        (("fe80::1%1",), ("ip:fe80::1%1",)),
    ],
)
def test_a_name_that_the_ca_would_read_otherwise_is_refused(
    common_names: tuple[str, ...], names: tuple[str, ...]
) -> None:
    with pytest.raises(Refused) as caught:
        check_csr(replace(CSR, common_names=common_names, names=names))
    assert caught.value.code == "csr_names"


def test_the_leaf_that_was_asked_for_is_accepted() -> None:
    check_leaf(LEAF, EXPECTED, "crl")
    check_enrolled(LEAF, "ab" * 32, EXPECTED.identity)


def test_the_order_of_the_other_names_does_not_matter() -> None:
    check_leaf(replace(LEAF, other_names=LEAF.other_names[::-1]), EXPECTED, "crl")


def test_an_earlier_end_is_accepted() -> None:
    check_leaf(replace(LEAF, not_after=END - timedelta(seconds=1)), EXPECTED, "crl")


def test_another_arc_is_followed() -> None:
    elsewhere = replace(EXPECTED, identity=replace(EXPECTED.identity, oid_arc="1.2.3"))
    with pytest.raises(Retry):
        check_leaf(LEAF, elsewhere, "crl")
    names = (("1.2.3.1", GRANT_ID), ("1.2.3.2", "maria@alpha.example"))
    check_leaf(replace(LEAF, other_names=names), elsewhere, "crl")


ONE, TWO = LEAF.other_names


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("serial", {"serial": "20"}),  # (1)
        ("public key", {"spki_sha256": "cd" * 32}),  # (2)
        ("common name", {"common_names": ("grant-other",)}),  # (3)
        ("common name", {"common_names": ()}),
        ("otherName entries", {"other_names": (ONE,)}),
        ("otherName entries", {"other_names": (ONE, TWO, TWO)}),
        ("otherName entries", {"other_names": (ONE, (TWO[0], "mallory"))}),
        ("otherName entries", {"other_names": (ONE, (TWO[0], None))}),
        ("otherName entries", {"other_names": (ONE, TWO, ("1.2.3", "x"))}),
        ("other names", {"general_names": ()}),
        ("other names", {"general_names": (*LEAF.general_names, "dns:a.example")}),
        ("extended key usage", {"extended_key_usage": ()}),  # (4)
        (
            "extended key usage",
            {"extended_key_usage": (OID_CLIENT_AUTH, "1.3.6.1.5.5.7.3.1")},
        ),
        ("CA flag", {"is_ca": True}),
        ("notAfter", {"not_after": END + timedelta(seconds=1)}),  # (5)
        ("CRL distribution points", {"crl_urls": ()}),  # (6)
        ("CRL distribution points", {"crl_urls": ("https://a/crl/",)}),
        ("CRL distribution points", {"crl_urls": ("https://a/crl", "https://b/crl")}),
    ],
)
def test_a_leaf_that_differs_is_refused_by_name(what: str, changed: dict[str, Any]) -> None:
    with pytest.raises(Retry) as caught:
        check_leaf(replace(LEAF, **changed), EXPECTED, "crl")
    assert caught.value.code == "ca_wrong_answer"
    assert caught.value.message.startswith(f"the certificate's {what} differs: got ")
