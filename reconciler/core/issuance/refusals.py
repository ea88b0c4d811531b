"""What enrollment, renewal and pickup are refused with: one error each, with what to do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.core.model.times import rfc3339
from reconciler.errors import Refused, Retry

if TYPE_CHECKING:
    from datetime import datetime


def proof_invalid() -> Refused:
    """Return the one refusal of every unknown key and every bad proof."""
    return Refused(
        "proof_invalid",
        "the proof does not verify, or its key has no certificate here",
        hint="sign the method, the URL and the current time with the key of the CSR, as dpop+jwt"
        " (RFC 9449)",
    )


def token_invalid() -> Refused:
    """Return the one refusal of every unknown token and every wrong secret."""
    return Refused(
        "token_invalid",
        "the token is not known here",
        hint="check that the invitation was copied whole, and ask the grantor for a new one",
    )


def unreadable_csr(code: str) -> Refused:
    """Return the refusal of a CSR that the CA cannot read, or whose names it refuses."""
    return Refused(
        code,
        "the certificate authority cannot read the CSR",
        hint="the token is not spent: make a plain CSR for the same key, "
        "openssl req -new -sha256 -key KEY -subj / -out CSR",
    )


def not_signed() -> Retry:
    """Return the error of an attempt for which the CA signed nothing."""
    return Retry(
        "ca_unavailable",
        "the certificate authority did not sign",
        hint="the token is not spent: try again with the same key",
    )


def gone(code: str, message: str) -> Refused:
    """Return the refusal of what is over, by its code."""
    hints = {
        "token_spent": "its holder fetches the certificate by a proof of the key; "
        "anyone else asks the grantor for a new invitation",
    }
    return Refused(code, message, hint=hints.get(code, "ask the grantor for a new invitation"))


def contested() -> Refused:
    """Return the refusal of a second key that would renew one certificate."""
    return Refused(
        "renewal_contested",
        "another key renews this certificate",
        hint="use that key; if it is not yours, tell the grantor immediately",
    )


def early(due: datetime, now: datetime) -> Retry:
    """Return the refusal of a renewal before its time."""
    return Retry(
        "renewal_early",
        f"the certificate renews from {rfc3339(due)} on",
        hint="wait until then; the same key and CSR as before get the same answer at any time",
        retry_after=due - now,
    )


def in_progress(lease_until: datetime | None, now: datetime) -> Retry:
    """Return what an attempt beside one that is under way is told."""
    left = (lease_until or now) - now
    return Retry(
        "enrollment_in_progress",
        "an attempt by the same key waits for the certificate authority",
        hint="try again with the same key and CSR",
        retry_after=max(min(left, timedelta(seconds=5)), timedelta(seconds=1)),
    )
