"""What joining makes of a gateway that issues the wrong certificate: none of them is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from reconciler.core.issuance.invitation import Invitation
from reconciler.core.issuance.tokens import new_token
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.core.model.states import PeerStatus
from reconciler.core.model.times import rfc3339
from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.certificates import fingerprint_of
from reconciler.crypto.keys import generate_key
from reconciler.errors import Refused
from tests.support.gateways.joiner import Beta, beta_of
from tests.support.gateways.liar import API, DAY, Liar, Response, certificate, lying, other_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CA = new_ca("Alpha", datetime.now(UTC))
OTHER = new_ca("Alpha", datetime.now(UTC))
GRANT = "0197a000-0000-7000-8000-000000000001"
SUBJECT = "maria@alpha.example"
ENROLL = f"POST {API}/enroll"
STATUS = f"GET {API}/enroll"
PICKUP = f"POST {API}/certificates/pickup"
TOKEN = new_token(b"0123456789", b"s" * 32)
OTHER_ARC = "1.3.6.1.4.1.54321.7"


def names(arc: str = DEFAULT_OID_ARC, **changes: str) -> list[x509.GeneralName]:
    grant, subject = changes.get("grant", GRANT), changes.get("subject", SUBJECT)
    return [
        other_name(f"{arc}.1", grant),
        other_name(f"{arc}.{changes.get('last', '2')}", subject),
        x509.UniformResourceIdentifier(f"mosaic://grant/{changes.get('uri', GRANT)}"),
    ]


def issued(csr: bytes, **lies: Any) -> Response:
    """Return an answer that is true but for the lies."""
    request = x509.load_pem_x509_csr(json.loads(csr)["csr"].encode())
    key: Any = lies.get("key") or request.public_key()
    leaf = certificate(
        lies.get("ca", CA),
        key,
        lies.get("common_name", f"grant-{GRANT}"),
        lies.get("san", names()),
        life=lies.get("life", (timedelta(minutes=-1), DAY)),
        usage=lies.get("usage", ExtendedKeyUsageOID.CLIENT_AUTH),
    )
    pem = leaf.public_bytes(serialization.Encoding.PEM).decode()
    end = leaf.not_valid_after_utc
    document = {
        "certificate": lies.get("certificate", pem),
        "chain": lies.get("chain", [lies.get("ca", CA).intermediate]),
        "serial": lies.get("serial", format(leaf.serial_number, "x")),
        "fingerprint": fingerprint_of(pem),
        "notBefore": rfc3339(leaf.not_valid_before_utc),
        "notAfter": rfc3339(lies.get("not_after", end)),
        "renewAfter": rfc3339(end),
        "grant": {
            "id": GRANT,
            "name": "beta-tasks",
            "peer": "beta",
            "subjectUserId": SUBJECT,
            "scope": {"resources": [], "maxRowsPerQuery": 1},
            "status": "active",
            "expiresAt": "2036-01-01T00:00:00Z",
        },
    }
    return Response(201, json.dumps(document).encode())


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lying(CA) as liar:
        nothing = {"code": "proof_invalid", "detail": "nothing is known of this key"}
        liar.say(PICKUP, Response(401, json.dumps(nothing).encode()))
        liar.say(STATUS, Response(410, b'{"code": "token_spent"}'))
        yield liar


@pytest.fixture
def beta(liar: Liar, database_url: str, tmp_path: Path) -> Beta:
    return beta_of(database_url, tmp_path / "keys", liar.url)


def invitation(liar: Liar) -> Invitation:
    return Invitation(liar.url, TOKEN, fingerprint_of(CA.root))


def test_a_true_answer_is_taken(liar: Liar, beta: Beta) -> None:
    liar.say(ENROLL, issued)
    assert beta.join(invitation(liar)).status is PeerStatus.ACTIVE


def test_the_other_gateway_may_have_an_arc_of_its_own(liar: Liar, beta: Beta) -> None:
    liar.say(ENROLL, lambda csr: issued(csr, san=names(OTHER_ARC)))
    assert beta.join(invitation(liar)).status is PeerStatus.ACTIVE


@pytest.mark.parametrize(
    ("lie", "text"),
    [
        ({"key": generate_key().public_key()}, "public key"),
        ({"ca": OTHER}, "not signed by the next"),
        ({"chain": []}, "does not end at the pinned root"),
        ({"chain": ["nonsense"]}, "cannot be read"),
        ({"certificate": "nonsense"}, "cannot be read"),
        ({"common_name": "grant-1"}, "common name"),
        ({"san": names(grant="x")}, "otherName"),
        ({"san": names(subject="root")}, "otherName"),
        ({"san": names(last="3")}, "otherName"),
        ({"san": [*names(), other_name(f"{DEFAULT_OID_ARC}.2", "x")]}, "otherName"),
        ({"san": [*names()[:1], *names(OTHER_ARC)[1:]]}, "otherName"),
        ({"san": names()[2:]}, "otherName"),
        ({"san": names(uri="x")}, "other names"),
        ({"san": [*names(), x509.DNSName("alpha.example")]}, "other names"),
        ({"usage": ExtendedKeyUsageOID.SERVER_AUTH}, "extended key usage"),
        ({"life": (-2 * DAY, -DAY)}, "check the clocks"),
        ({"life": (DAY, 2 * DAY)}, "check the clocks"),
        ({"serial": "1f"}, "differs from the certificate"),
        ({"not_after": datetime(2036, 1, 1, tzinfo=UTC)}, "differs from the certificate"),
    ],
)
def test_a_certificate_that_was_not_asked_for_is_not_kept(
    liar: Liar, beta: Beta, lie: dict[str, Any], text: str
) -> None:
    liar.say(ENROLL, lambda csr: issued(csr, **lie))
    error = beta.refused(invitation(liar))
    assert (type(error), error.code) == (Refused, "peer_wrong_answer")
    assert text in error.message
    held = beta.held()
    assert (held.status, held.certificate) == (PeerStatus.PENDING, None)
    assert held.sealed_key is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CA.root.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), ""),
        ("", "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"),
        ("", "no line ends here"),
    ],
)
def test_what_stands_beside_a_certificate_is_not_kept(
    liar: Liar, beta: Beta, before: str, after: str
) -> None:
    """Such a text, written to a file, keeps a program that reads it from starting."""
    sent: list[str] = []

    def beside(csr: bytes) -> Response:
        document = json.loads(issued(csr).body)
        sent.append(document["certificate"] + CA.intermediate)
        pems = document["certificate"], *document["chain"]
        certificate, *chain = (f"{before}{pem.rstrip()}\n{after}" for pem in pems)
        answer = document | {"certificate": certificate, "chain": chain}
        return Response(201, json.dumps(answer).encode())

    liar.say(ENROLL, beside)
    beta.join(invitation(liar))
    stored = beta.rows.one("SELECT cert_pem || cert_chain_pem FROM federation_peers")
    assert stored == sent[0]


def test_an_older_certificate_never_takes_the_place_of_a_later_one(liar: Liar, beta: Beta) -> None:
    sent: list[bytes] = []

    def remember(csr: bytes) -> Response:
        sent.append(csr)
        return issued(csr)

    liar.say(ENROLL, remember)
    before = beta.join(invitation(liar))
    earlier = issued(sent[0], life=(timedelta(minutes=-1), timedelta(hours=1)))
    liar.say(PICKUP, Response(200, earlier.body))
    assert beta.join(invitation(liar)) == before
    assert beta.held() == before
    later = issued(sent[0], life=(timedelta(minutes=-1), 2 * DAY))
    liar.say(PICKUP, Response(200, later.body))
    after = beta.join(invitation(liar))
    assert before.certificate is not None
    assert after.certificate is not None
    assert after.certificate.not_after > before.certificate.not_after
    assert liar.calls().count(ENROLL) == 1


@pytest.mark.parametrize("known", [True, False])
def test_a_certificate_that_has_ended_is_replaced_by_the_token_with_the_same_key(
    liar: Liar, beta: Beta, known: bool
) -> None:
    short = (timedelta(minutes=-1), timedelta(seconds=3))
    first: list[Response] = []

    def remember(csr: bytes) -> Response:
        first.append(issued(csr, life=short))
        return first[0]

    liar.say(ENROLL, remember)
    before = beta.join(invitation(liar))
    if known:
        liar.say(PICKUP, Response(200, first[0].body))
    liar.say(ENROLL, issued)
    in_ten_seconds = timedelta(seconds=10)  # within what the clocks may differ by
    after = beta.join(invitation(liar), clock=lambda: datetime.now(UTC) + in_ten_seconds)
    assert after.csr_pem == before.csr_pem
    assert after.certificate != before.certificate


def test_a_gateway_that_never_gets_ready_ends_in_time(liar: Liar, beta: Beta) -> None:
    liar.say(ENROLL, Response(503, headers=(("Retry-After", "1"),)))
    error = beta.refused(invitation(liar), patience=timedelta(seconds=2))
    assert error.code == "unavailable"
    assert liar.calls().count(ENROLL) in (2, 3)


def test_a_key_in_use_is_replaced_once_and_not_for_ever(liar: Liar, beta: Beta) -> None:
    in_use = {"code": "key_in_use", "detail": "the key serves another grant"}
    liar.say(ENROLL, Response(422, json.dumps(in_use).encode()))
    assert beta.refused(invitation(liar)).code == "key_in_use"
    assert liar.calls().count(ENROLL) == 2
