"""The client of step-ca against a real one: what it signs, refuses, revokes, and leaves unsaid."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from reconciler.clients.step_ca.answers import GrantAnswer, NotSent, Rejected, WrongLeaf
from reconciler.clients.step_ca.client import MAX_IN_FLIGHT as MOST
from reconciler.clients.step_ca.client import CaClient
from reconciler.core.issuance.x509 import SignedLeaf
from reconciler.crypto.ca_material import GATEWAY, PEERS, REVOCATIONS, new_ca
from reconciler.crypto.certificates import read_certificate, subject_key_id, verify_chain
from reconciler.crypto.csr import make_csr, read_csr
from reconciler.crypto.keys import generate_key, spki_sha256
from reconciler.crypto.ott import Provisioner
from reconciler.errors import NeedsEdit, Refused
from tests.support.gateways.step_ca_client import (
    HOUR,
    expected,
    listed,
    new_csr,
    new_serial,
    revoked_serials,
    run,
    sign,
)

if TYPE_CHECKING:
    from tests.support.gateways.step_ca import Authority


SUBJECTS: tuple[tuple[tuple[str, ...], tuple[x509.GeneralName, ...]], ...] = (
    ((), ()),
    (("",), ()),
    (("somebody else",), ()),
    (("Beta, Inc.",), ()),
    (('Beta (prod) <x> & "y"',), ()),
    (("B\u00e4ta \u65e5\u672c",), ()),
    (("*.beta.example",), ()),
    (("beta:8443",), ()),
    (("system:node:beta-1",), ()),
    (("10.0.0.7",), ()),
    (("a@beta.example",), ()),
    (("beta", "users"), ()),
    (("x" * 500,), ()),
    (("beta",), (x509.DNSName("beta"),)),
    (("*.beta.example",), (x509.DNSName("*.beta.example"),)),
    (("10.0.0.7",), (x509.IPAddress(ip_address("10.0.0.7")),)),
    (("2001:db8::1",), (x509.IPAddress(ip_address("2001:db8::1")),)),
    (("a+b@beta.example",), (x509.RFC822Name("a+b@beta.example"),)),
    (("spiffe://beta.example/x",), (x509.UniformResourceIdentifier("spiffe://beta.example/x"),)),
)


@pytest.mark.filterwarnings("ignore:Attribute's length")  # step-ca has no such limit either
@pytest.mark.parametrize(("common_names", "names"), SUBJECTS, ids=ascii)
def test_a_csr_becomes_the_certificate_that_was_asked_for(
    shared_authority: Authority,
    common_names: tuple[str, ...],
    names: tuple[x509.GeneralName, ...],
) -> None:
    subject = [
        x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in common_names
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    request = builder.sign(generate_key(), hashes.SHA256())
    csr = read_csr(request.public_bytes(serialization.Encoding.PEM).decode())
    leaf = expected(csr)

    answer = run(shared_authority.client(), lambda ca: ca.sign_grant(csr, leaf))

    assert isinstance(answer, SignedLeaf), answer
    assert answer.facts == read_certificate(answer.certificate)
    assert (answer.facts.serial, answer.facts.not_after) == (leaf.serial, leaf.not_after)
    issuer = shared_authority.material.issuer_key_id
    assert subject_key_id(answer.chain[0]) == issuer
    assert answer.facts.crl_urls == (f"{leaf.crl_bases[0]}/{issuer}",)
    verify_chain(answer.certificate, answer.chain, shared_authority.roots, datetime.now(UTC))


@pytest.mark.parametrize(
    "other", [{"crl_bases": ("https://127.0.0.2",)}, {"spki_sha256": "ab" * 32}]
)
def test_a_certificate_that_was_not_asked_for_is_not_returned(
    shared_authority: Authority, other: dict[str, Any]
) -> None:
    csr = new_csr()
    leaf = replace(expected(csr), **other)

    answer = run(shared_authority.client(), lambda ca: ca.sign_grant(csr, leaf))

    assert isinstance(answer, WrongLeaf), answer
    assert "differs: got " in answer.reason


@pytest.mark.parametrize(
    ("subject", "string_type", "code"),
    [("B\u00e4ta", "IA5String", "csr_malformed"), ("B\u00e4ta", "T61String", "csr_names")],
)
def test_what_the_ca_cannot_read_is_the_csrs_fault(
    shared_authority: Authority, subject: str, string_type: str, code: str
) -> None:
    attribute = x509.NameAttribute(
        NameOID.COMMON_NAME, subject, getattr(_ASN1Type, string_type), _validate=False
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([attribute]))
    request = builder.sign(generate_key(), hashes.SHA256())
    csr = read_csr(request.public_bytes(serialization.Encoding.PEM).decode())

    answer = run(shared_authority.client(), lambda ca: ca.sign_grant(csr, expected(csr)))

    assert isinstance(answer, Rejected), answer
    assert answer.csr_code == code


def test_many_signs_at_once_are_all_answered(shared_authority: Authority) -> None:
    async def many(client: CaClient) -> list[GrantAnswer]:
        return await asyncio.gather(*(sign(client) for _ in range(3 * MOST)))

    answers = run(shared_authority.client(), many)
    assert all(isinstance(each, SignedLeaf) for each in answers), answers


@pytest.mark.parametrize(
    ("life", "status", "text"), [(timedelta(days=8), 403, "maximum"), (-HOUR, 400, "past")]
)
def test_an_end_that_the_ca_does_not_allow_is_rejected(
    shared_authority: Authority, life: timedelta, status: int, text: str
) -> None:
    answer = run(shared_authority.client(), lambda ca: sign(ca, life=life))
    assert isinstance(answer, Rejected)
    assert (answer.status, text in answer.reason) == (status, True)


def test_a_provisioner_that_the_ca_does_not_know_is_rejected(shared_authority: Authority) -> None:
    stranger = new_ca("Other", datetime.now(UTC)).provisioners[PEERS]
    path = shared_authority.folder / "stranger.json"
    path.write_text(json.dumps(stranger))
    client = CaClient(shared_authority.url, shared_authority.roots, Provisioner.load(path))
    answer = run(client, sign)
    assert isinstance(answer, Rejected)
    assert answer.status == 401


def test_the_gateways_own_certificate_has_its_names_and_its_chain(
    shared_authority: Authority,
) -> None:
    key, names = generate_key(), ("gateway.example", "127.0.0.1")
    csr = make_csr(key, names[0])

    leaf, *chain = run(shared_authority.client(), lambda ca: ca.sign_server(csr, names, HOUR))

    facts = read_certificate(leaf)
    assert set(facts.general_names) == {"dns:gateway.example", "ip:127.0.0.1"}
    assert facts.spki_sha256 == spki_sha256(key.public_key())
    assert HOUR - timedelta(minutes=1) < facts.not_after - datetime.now(UTC) <= HOUR
    verify_chain(leaf, chain, shared_authority.roots, datetime.now(UTC))


def test_a_server_certificate_that_may_not_be_is_refused(shared_authority: Authority) -> None:
    csr = make_csr(generate_key())
    with pytest.raises(Refused, match="maximum") as caught:
        run(
            shared_authority.client(),
            lambda ca: ca.sign_server(csr, ("gateway.example",), timedelta(days=2)),
        )
    assert caught.value.code == "ca_refused"


def test_the_key_that_revokes_signs_nothing(shared_authority: Authority) -> None:
    key = Provisioner.load(shared_authority.folder / f"{REVOCATIONS}.json")
    answer = run(CaClient(shared_authority.url, shared_authority.roots, key), sign)
    assert isinstance(answer, Rejected)
    assert "this provisioner signs no certificate" in answer.reason
    client = CaClient(shared_authority.url, shared_authority.roots, None, key)
    with pytest.raises(Refused, match="this provisioner signs no certificate"):
        run(client, lambda ca: ca.sign_server(make_csr(generate_key()), ("a.example",), HOUR))


def test_the_keys_that_sign_are_not_used_to_revoke(shared_authority: Authority) -> None:
    signing = [
        Provisioner.load(shared_authority.folder / f"{each}.json") for each in (PEERS, GATEWAY)
    ]
    client = CaClient(shared_authority.url, shared_authority.roots, *signing)
    with pytest.raises(NeedsEdit, match="provisioner 'revocations'"):
        run(client, lambda ca: ca.revoke(new_serial(), "x"))


@pytest.mark.parametrize("signed", [True, False])
def test_a_revoked_serial_is_in_the_crl_whether_or_not_it_was_signed(
    shared_authority: Authority, signed: bool
) -> None:
    serial = new_serial()

    async def story(client: CaClient) -> None:
        if signed:
            assert isinstance(await sign(client, serial), SignedLeaf)
        assert serial not in await revoked_serials(client, shared_authority)
        await client.revoke(serial, "the grant has ended")
        await listed(client, shared_authority, serial)
        await client.revoke(serial, "once more")  # done already is done

    run(shared_authority.client(), story)


def test_the_ca_tells_what_it_is(shared_authority: Authority) -> None:
    async def story(client: CaClient) -> None:
        assert await client.health() == "ok"
        assert (await client.version()).startswith("0.")
        assert await client.intermediates() == (shared_authority.material.intermediate,)
        listed = await client.provisioners()
        ours = shared_authority.material.provisioners
        assert {(each.type, each.name, each.kid) for each in listed} == {
            ("JWK", name, document["kid"]) for name, document in ours.items()
        }

    run(shared_authority.client(), story)


def test_without_its_provisioner_a_client_says_which_setting_is_missing(
    shared_authority: Authority,
) -> None:
    client = CaClient(shared_authority.url, shared_authority.roots)
    with pytest.raises(NeedsEdit, match="'peers'") as caught:
        run(client, sign)
    assert "MOSAIC_CA_PROVISIONERS" in caught.value.hint


@pytest.mark.parametrize("roots", [[], [""], ["\n"], ["nonsense"]])
def test_a_client_without_a_root_trusts_nobody_and_not_the_system(roots: list[str]) -> None:
    with pytest.raises(NeedsEdit) as caught:
        CaClient("https://127.0.0.1:1", roots)
    assert caught.value.code == "config_invalid"
    assert "MOSAIC_CA_ROOT" in caught.value.hint


def test_a_ca_of_another_root_is_sent_nothing(shared_authority: Authority) -> None:
    other = new_ca("Other", datetime.now(UTC))
    ours = Provisioner.load(shared_authority.folder / f"{PEERS}.json")
    answer = run(CaClient(shared_authority.url, [other.root], ours), sign)
    assert isinstance(answer, NotSent)
    assert "CERTIFICATE_VERIFY_FAILED" in answer.reason


def test_proxies_of_the_environment_are_not_asked(
    shared_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert run(shared_authority.client(), lambda ca: ca.health()) == "ok"
