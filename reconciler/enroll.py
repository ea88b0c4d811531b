"""Enrollment: a single-use token and a CSR become a certificate that carries the grant.

    (1) the CSR comes parsed: caps, key and names are judged; only its public key is ever used
    (2) find the token by its public id and verify its secret: nothing is revealed before that;
        then verify the CSR's signature
    (3) transaction 1: claim the token, store the intent with a fresh serial; commit
    (4) sign at step-ca, with no transaction open: one request an issuance, never a retry
    (5) the client of step-ca checks the certificate against what was requested
    (6) transaction 2: the issuance is issued, the token spent, the grant active; commit, answer
    (7) any other attempt is given up, and revoked unless it was certainly never signed

A crash between any two steps leaves an intent, which a worker gives up when its lease has passed;
the token stays claimed by its key, which may try again. Renewal is (1) and (3) to (7) with a proof
of the old key for a token; pickup hands out again what (6) stored.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.clients.step_ca.answers import NotSent, Rejected, Unanswered, WrongLeaf
from reconciler.core.issuance.contract import TokenState, grant_document
from reconciler.core.issuance.invitation import API_PREFIX
from reconciler.core.issuance.policy import (
    Denial,
    IssuanceResponse,
    judge_pickup,
    judge_status,
)
from reconciler.core.issuance.refusals import (
    not_signed,
    proof_invalid,
    token_invalid,
    unreadable_csr,
)
from reconciler.core.issuance.tokens import parse_token
from reconciler.core.issuance.x509 import ExpectedLeaf, GrantIdentity, SignedLeaf
from reconciler.core.rate_limit import GrantLimits
from reconciler.core.telemetry import SILENT, Telemetry
from reconciler.crypto.csr import csr_digest, verify_csr
from reconciler.crypto.proof import verify_proof
from reconciler.crypto.verification import Verifier
from reconciler.errors import MosaicError, Retry
from reconciler.store.issuance import begin as enrollment
from reconciler.store.issuance import finish as issuing
from reconciler.store.issuance import read as facts
from reconciler.store.issuance import tokens
from reconciler.store.issuance.begin import Caller

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from reconciler.clients.step_ca.client import CaClient
    from reconciler.core.issuance.contract import GrantDocument
    from reconciler.crypto.csr import UnverifiedCsr, VerifiedCsr
    from reconciler.crypto.proof import VerifiedProof
    from reconciler.store.async_database import AsyncDatabase
    from reconciler.store.db import Tx
    from reconciler.store.issuance.finish import SigningAttempt
    from reconciler.store.issuance.read import KnownToken

_log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What an endpoint needs. `roots` are PEM texts; `public_url` has no slash at its end.

    `former_urls` are where peers may still look for a gateway that moves.
    `refusals` counts what was refused by (code, peer's address), until a timer records the sums.
    """

    database: AsyncDatabase
    ca: CaClient
    pepper: bytes = field(repr=False)
    oid_arc: str
    roots: tuple[str, ...]
    public_url: str
    former_urls: tuple[str, ...] = ()
    suspend_on_theft: bool = False
    clock: Callable[[], datetime] = _utc_now
    verification: Verifier = field(default_factory=Verifier)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    grant_limits: GrantLimits = field(default_factory=GrantLimits)
    telemetry: Telemetry = SILENT

    def url(self, path: str) -> str:
        """Return the public URL of a path below the API's prefix."""
        return f"{self.public_url}{API_PREFIX}{path}"

    def urls(self, path: str) -> tuple[str, ...]:
        """Return every URL of a path that peers may use, the public one first."""
        return tuple(f"{url}{API_PREFIX}{path}" for url in (self.public_url, *self.former_urls))

    def caller(self, address: str) -> Caller:
        """Return who asks from an address for a certificate."""
        return Caller(address, self.grant_limits, suspend_on_theft=self.suspend_on_theft)


async def enroll(
    gateway: Gateway, presented_token: str, unverified_csr: UnverifiedCsr, peer_address: str
) -> IssuanceResponse:
    """Return the answer to an enrollment with a CSR that `parse_csr` accepts (1).

    Raises:
        MosaicError: a code of the refusals in docs/http.md. Only a success spends the token.
    """
    known = await _known_token(gateway, presented_token)  # (2)
    csr = await _verified_csr(gateway, unverified_csr)
    caller = gateway.caller(peer_address)
    begun: SigningAttempt | Denial | None  # (3)
    run, grant_id = gateway.database.run_for_grant, known.grant.id
    begun = await run(grant_id, enrollment.begin_unchanged, known, csr, caller)
    if begun is None:
        begun = await run(grant_id, enrollment.begin_enrollment, known, csr, caller)
    if isinstance(begun, Denial):
        raise _refusal(begun)
    return await _sign(gateway, begun, csr)  # (4) to (7)


async def renew(
    gateway: Gateway, presented_proof: str, unverified_csr: UnverifiedCsr, peer_address: str
) -> IssuanceResponse:
    """Return the answer to a renewal: an enrollment that a proof of the old key allows.

    Raises:
        MosaicError: a code of the refusals in docs/http.md.
    """
    proof = await _proof(gateway, presented_proof, "POST", "/certificates/renew")
    if proof.csr_digest != csr_digest(unverified_csr.der):
        raise proof_invalid()
    grant_id = await _admit(gateway, proof)
    csr = await _verified_csr(gateway, unverified_csr)
    caller, run = gateway.caller(peer_address), gateway.database.run_for_grant
    begun = await run(grant_id, enrollment.begin_renewal, proof, csr, caller)  # (3)
    match begun:
        case Denial():
            raise _refusal(begun)
        case IssuanceResponse():
            return begun
        case _:
            return await _sign(gateway, begun, csr)  # (4) to (7)


async def pickup(gateway: Gateway, presented_proof: str) -> IssuanceResponse:
    """Return the answer that was given for the proof's key, byte for byte.

    Raises:
        MosaicError: `proof_invalid`, `grant_ended` or `enrollment_in_progress`.
    """
    proof = await _proof(gateway, presented_proof, "POST", "/certificates/pickup")
    await _admit(gateway, proof)
    verdict = await gateway.database.run(_judge_pickup, proof.spki_sha256)
    if isinstance(verdict, Denial):
        raise verdict.error
    return verdict


async def token_status(gateway: Gateway, presented_token: str) -> TokenState:
    """Return the state of a usable token, or refuse as `enroll` does; nothing is spent."""
    known = await _known_token(gateway, presented_token)
    refusal = judge_status(known.token, known.grant, known.read_at)
    if refusal is not None:
        raise refusal
    return TokenState(str(known.token.status), known.token.expires_at)


async def grant_of_proof(gateway: Gateway, presented_proof: str) -> GrantDocument:
    """Return the *grant* whose certificate has the proof's key, whatever its state.

    Raises:
        Refused: `proof_invalid`; also for a key whose certificates a new enrollment has revoked.
    """
    proof = await _proof(gateway, presented_proof, "GET", "/grant")

    def read(tx: Tx) -> GrantDocument | None:
        grant_id = facts.grant_of_key(tx, proof.spki_sha256)
        if grant_id is None or facts.is_replaced(tx, proof.spki_sha256):
            return None
        grant = facts.grant_facts(tx, grant_id)
        return grant_document(grant, grant.status)

    document = await gateway.database.run(read)
    if document is None:
        raise proof_invalid()
    return document


async def _sign(gateway: Gateway, attempt: SigningAttempt, csr: VerifiedCsr) -> IssuanceResponse:
    grant, run = attempt.grant, gateway.database.run_for_grant
    expected = ExpectedLeaf(
        identity=GrantIdentity(str(grant.id), grant.subject_user_id, gateway.oid_arc),
        serial=attempt.serial,
        spki_sha256=attempt.spki_sha256,
        not_after=attempt.not_after,
        crl_bases=gateway.urls("/ca/crl"),
    )
    answer = await gateway.ca.sign_grant(csr, expected)  # (4) (5)
    gateway.grant_limits.ca_reached = not isinstance(answer, NotSent)
    if isinstance(answer, Rejected | Unanswered):
        gateway.grant_limits.note_failure(grant.id, time.monotonic())
    match answer:
        case SignedLeaf():
            done: IssuanceResponse | Denial | None  # (6)
            done = await run(grant.id, issuing.finish_unchanged, attempt, answer)
            if done is None:
                done = await run(grant.id, issuing.finish, attempt, answer)
            if isinstance(done, Denial):
                raise done.error
            return done
        case NotSent(reason=reason):  # (7)
            await _give_up(gateway, attempt, reason, revoke=False, counts=False)
            raise not_signed()
        case Rejected(reason=reason, csr_code=code):
            await _give_up(gateway, attempt, reason, revoke=False)
            raise unreadable_csr(code) if code else not_signed()
        case Unanswered(reason=reason):
            await _give_up(gateway, attempt, reason, revoke=True)
            raise not_signed()
        case WrongLeaf(reason=reason):
            await _give_up(gateway, attempt, reason, revoke=True)
            raise Retry("ca_wrong_answer", "the certificate authority sent a wrong answer")


async def _give_up(
    gateway: Gateway, attempt: SigningAttempt, reason: str, *, revoke: bool, counts: bool = True
) -> None:
    _log.warning("%s: the CA did not sign %s: %s", attempt.subject, attempt.serial, reason)
    run, grant_id = gateway.database.run_for_grant, attempt.grant.id
    await run(grant_id, issuing.give_up, attempt, reason, revoke=revoke, counts=counts)


async def _known_token(gateway: Gateway, presented_token: str) -> KnownToken:
    token = parse_token(presented_token)
    if token is None:
        raise token_invalid()
    return await gateway.database.run(tokens.find, token, gateway.pepper)


async def _verified_csr(gateway: Gateway, unverified_csr: UnverifiedCsr) -> VerifiedCsr:
    if unverified_csr.facts.key_type == "P-256":  # takes half as long as its way to a thread
        return verify_csr(unverified_csr)
    return await gateway.verification.run(verify_csr, unverified_csr)


async def _admit(gateway: Gateway, proof: VerifiedProof) -> UUID:
    """Let a call by the key of a grant in, as often as the grant may call; return the grant's id.

    Raises:
        MosaicError: `proof_invalid`: the key is no grant's; `rate_limited`.
    """

    def read(tx: Tx) -> tuple[UUID | None, bool]:
        spki = proof.spki_sha256
        return facts.grant_of_key(tx, spki), facts.has_live_issuance(tx, spki)

    grant_id, live = await gateway.database.run(read)
    if grant_id is None:
        raise proof_invalid()
    gateway.grant_limits.admit_call(grant_id, live=live, now_s=time.monotonic())
    return grant_id


async def _proof(gateway: Gateway, presented_proof: str, method: str, path: str) -> VerifiedProof:
    urls, now = gateway.urls(path), gateway.clock()
    return await gateway.verification.run(verify_proof, presented_proof, method, urls, now)


def _judge_pickup(tx: Tx, spki_sha256: str) -> IssuanceResponse | Denial:
    grant_id = facts.grant_of_key(tx, spki_sha256)
    if grant_id is None:
        return Denial(proof_invalid())
    grant = facts.grant_facts(tx, grant_id)
    return judge_pickup(grant, facts.live_issuances_of_key(tx, spki_sha256), tx.now())


def _refusal(denial: Denial) -> MosaicError:
    """Return the error of a denial, once the log has its warning."""
    if denial.warning:
        _log.warning("%s", denial.warning, extra={"code": denial.error.code})
    return denial.error
