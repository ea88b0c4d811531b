"""Facts about CSRs and certificates as plain values, and the decisions over them.

`crypto` extracts the facts; what is accepted is decided here, without a cryptographic library.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.issuance.crl_locations import names_agree
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.errors import Refused, Retry

if TYPE_CHECKING:
    from datetime import datetime

OID_CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"  # RFC 5280 4.2.1.12

MIN_RSA_BITS: Final = 3072
MAX_RSA_BITS: Final = 4096
RSA_EXPONENT: Final = 65537  # what every tool makes; others can cost 100 times as much

# spellings that step-ca (x509util.SplitSANs of 0.30.2) surely takes for a name of this kind
_PLAIN_NAMES: Final = {
    "dns": re.compile(r"[A-Za-z0-9*_.-]+", re.ASCII),
    "email": re.compile(r"[A-Za-z0-9+_.-]+@[A-Za-z0-9.-]+", re.ASCII),
    "uri": re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9_.~/-]+", re.ASCII),
}


def grant_id_oid(arc: str) -> str:
    """Return the OID of the otherName that carries the grant's id."""
    return f"{arc}.1"


def subject_user_id_oid(arc: str) -> str:
    """Return the OID of the otherName that carries the subject user's id."""
    return f"{arc}.2"


def grant_uri(grant_id: str) -> str:
    """Return the URI of the SAN, for proxies that match URIs."""
    return f"mosaic://grant/{grant_id}"


def grant_common_name(grant_id: str) -> str:
    """Return the common name of a grant's certificates."""
    return f"grant-{grant_id}"


@dataclass(frozen=True, slots=True)
class CsrFacts:
    """What a CSR states: `names` are its DNS, IP, URI and e-mail names, as `dns:x`."""

    spki_sha256: str
    key_type: str
    key_bits: int
    common_names: tuple[str, ...]
    names: tuple[str, ...]
    rsa_exponent: int | None = None

    @property
    def listed_names(self) -> tuple[str, ...]:
        """The names that a token for this CSR lists, each once; `check_csr` has judged the rest."""
        return tuple(dict.fromkeys(name for name in self.common_names if name))


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says. OIDs are dotted text, serial and key ids lower-case hex.

    `other_names` are (OID, value) with None for a value that is no UTF8String; `general_names` are
    the SAN's names of every other kind, as `uri:x`.
    """

    serial: str
    fingerprint: str
    spki_sha256: str
    common_names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    is_ca: bool
    extended_key_usage: tuple[str, ...]
    other_names: tuple[tuple[str, str | None], ...]
    general_names: tuple[str, ...]
    crl_urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GrantIdentity:
    """Whose authority a certificate carries."""

    grant_id: str
    subject_user_id: str
    oid_arc: str = DEFAULT_OID_ARC


@dataclass(frozen=True, slots=True)
class SignedLeaf:
    """A certificate that passed every check: PEM texts without the root, and its facts."""

    certificate: str
    chain: tuple[str, ...]
    facts: CertificateFacts


@dataclass(frozen=True, slots=True)
class ExpectedLeaf:
    """What the CA is asked to sign; `not_after` is the latest expiry that is accepted.

    `crl_bases` are the URLs below which each issuer's revocation list is, by its key id: more than
    one while the gateway moves.
    """

    identity: GrantIdentity
    serial: str
    spki_sha256: str
    not_after: datetime
    crl_bases: tuple[str, ...]


def check_csr(facts: CsrFacts) -> None:
    """Check a CSR against what we sign.

    Only its public key is ever used; its subject and its extensions are ignored. DNS, IP, URI and
    e-mail names are refused, because step-ca refuses what its token does not list; but for one that
    only repeats the common name.

    Raises:
        Refused: `csr_key` or `csr_names`.
    """
    accepted = {
        "P-256": True,
        "P-384": True,
        "Ed25519": True,
        "RSA": MIN_RSA_BITS <= facts.key_bits <= MAX_RSA_BITS
        and facts.rsa_exponent == RSA_EXPONENT,
    }
    if not accepted.get(facts.key_type, False):
        raise Refused(
            "csr_key",
            f"got a key of {facts.key_type}"
            + (f" with {facts.key_bits} bits" if facts.key_bits else "")
            + ("" if facts.rsa_exponent in (None, RSA_EXPONENT) else " and another exponent"),
            hint=f"use P-256, P-384, Ed25519 or RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits "
            f"with the exponent {RSA_EXPONENT}",
        )
    foreign = [name for name in facts.names if not _is_own_name(name, facts.common_names)]
    if foreign:
        kinds = ", ".join(sorted({name.split(":", 1)[0] for name in foreign}))
        raise Refused(
            "csr_names",
            f"the CSR carries names of the kinds {kinds}",
            hint="make a CSR without subjectAltName (one that only repeats the common name is "
            "ignored): the certificate's names come from the grant",
        )


def _is_own_name(name: str, common_names: tuple[str, ...]) -> bool:
    """Tell whether a CSR's name only repeats its common name, as the `step` CLI writes it.

    Such a name asks for nothing. It can be passed to step-ca, which wants its one-time token to
    list exactly the CSR's names, and takes each of the token's for an address, a URI, a mail
    address or a DNS name by how it is spelled: both must read it alike.
    """
    kind, _, value = name.partition(":")
    if set(common_names) != {value}:
        return False
    if _is_address(value):
        return kind == "ip"
    plain = _PLAIN_NAMES.get(kind)
    return plain is not None and plain.fullmatch(value) is not None


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return "%" not in value  # a zone is for Python alone


def check_leaf(facts: CertificateFacts, expected: ExpectedLeaf, issuer_key_id: str) -> None:
    """Check a certificate that the CA returned against what was requested.

    (1) the serial is the one chosen before;
    (2) the public key is the CSR's;
    (3) it carries the grant: both OIDs exactly once, the URI, and no other name;
    (4) it is for client authentication only, and no CA;
    (5) it expires no later than requested;
    (6) it points at our revocation list, and at no other.

    Raises:
        Retry: `ca_wrong_answer`, with the point that differs.
    """
    _expect("serial", facts.serial, expected.serial)  # (1)
    check_enrolled(facts, expected.spki_sha256, expected.identity)  # (2) (3) (4)
    if facts.not_after > expected.not_after:  # (5)
        raise _differs("notAfter", facts.not_after.isoformat(), expected.not_after.isoformat())
    crl_urls = tuple(f"{base}/{issuer_key_id}" for base in expected.crl_bases)
    if not names_agree(facts.crl_urls, crl_urls):  # (6)
        raise _differs("CRL distribution points", facts.crl_urls, crl_urls)


def check_enrolled(facts: CertificateFacts, spki_sha256: str, identity: GrantIdentity) -> None:
    """Check what both sides can: the key, the grant's names, the usage. Raises as `check_leaf`."""
    _expect("public key", facts.spki_sha256, spki_sha256)
    _expect("common name", facts.common_names, (grant_common_name(identity.grant_id),))
    expected_names = (
        (grant_id_oid(identity.oid_arc), identity.grant_id),
        (subject_user_id_oid(identity.oid_arc), identity.subject_user_id),
    )
    _expect("otherName entries", tuple(sorted(facts.other_names, key=str)), expected_names)
    _expect("other names", facts.general_names, (f"uri:{grant_uri(identity.grant_id)}",))
    _expect("extended key usage", facts.extended_key_usage, (OID_CLIENT_AUTH,))
    _expect("CA flag", facts.is_ca, False)


def _expect(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise _differs(what, got, expected)


def _differs(what: str, got: object, expected: object) -> Retry:
    return Retry(
        "ca_wrong_answer",
        f"the certificate's {what} differs: got {got!r}, expected {expected!r}",
        hint="the certificate is not used; `mosaic federation ca status` checks the CA's templates",
    )
