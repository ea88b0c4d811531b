"""The client of step-ca: its requests, and the four outcomes that each can have.

A request to sign is sent once and never again: two requests with one serial would give two
certificates. So its answer is a value that says how far it got, and not an exception.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from reconciler.clients.http.connections import Timeouts
from reconciler.clients.step_ca.answers import (
    GrantAnswer,
    NotSent,
    Rejected,
    Signed,
    Unanswered,
    WrongLeaf,
)
from reconciler.clients.step_ca.connection import (
    MAX_JSON,
    CaAnswer,
    CaWire,
    NeverSent,
    NoAnswer,
)
from reconciler.core.model.times import rfc3339
from reconciler.core.telemetry import SILENT, Telemetry
from reconciler.crypto.certificates import check_signed, split_pem
from reconciler.crypto.csr import digest_of_pem
from reconciler.crypto.ott import OttTime, Provisioner, grant_ott, revoke_ott, server_ott
from reconciler.errors import NeedsEdit, Refused, Retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.issuance.x509 import ExpectedLeaf
    from reconciler.crypto.csr import VerifiedCsr

MAX_IN_FLIGHT: Final = 8  # signs; step-ca on two cores is fastest there
SLOT_WAIT_S: Final = 10.0  # for one of them; an attempt's lease is longer than all of it
MAX_CRL: Final = 16 * 1024 * 1024
# in messages of step-ca 0.30.2: what of a request to sign only the CSR can be to blame for
CSR_FAULTS: Final = {
    "error decoding json": "csr_malformed",
    "invalid csr": "csr_malformed",
    "certificate request does not contain": "csr_names",
}
REVOKED_ALREADY: Final = "already revoked"
REASON_CESSATION: Final = 5  # RFC 5280 5.3.1: cessationOfOperation
DEFAULT_TIMEOUTS: Final = Timeouts(connect_s=2, read_s=10, total_s=15)


@dataclass(frozen=True, slots=True)
class CaProvisioner:
    """A provisioner as the CA lists it: `claims` are its own, `options` those of its template."""

    name: str
    type: str
    kid: str
    claims: dict[str, Any]
    options: dict[str, Any]


class CaClient:
    """A step-ca at `url`, trusted by `roots` (PEM texts) alone.

    `peers`, `gateway` and `revocations` are the provisioners to act as; without one, its calls
    raise `config_invalid`, and so does a client without a root that can be read.
    """

    def __init__(
        self,
        url: str,
        roots: Sequence[str],
        peers: Provisioner | None = None,
        gateway: Provisioner | None = None,
        *,
        revocations: Provisioner | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self._url = url.rstrip("/")
        self._peers, self._gateway, self._revocations = peers, gateway, revocations
        self._roots = tuple(roots)
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._wire = CaWire(self._url, roots, timeouts, telemetry)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Close its connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._wire.close()

    async def sign_grant(self, csr: VerifiedCsr, expected: ExpectedLeaf) -> GrantAnswer:
        """Ask once for a grant's certificate; return it if it is what was expected."""
        provisioner = _required(self._peers, "peers")
        try:
            async with asyncio.timeout(SLOT_WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            return NotSent(f"{MAX_IN_FLIGHT} other requests keep the CA busy")
        try:
            leaf = (expected.identity, expected.serial)
            ott = grant_ott(provisioner, self._url, _now(), csr, leaf)
            ends = rfc3339(expected.not_after)
            answer = await self._sign({"csr": csr.pem, "ott": ott, "notAfter": ends})
        finally:
            self._slots.release()
        if not isinstance(answer, Signed):
            return answer
        try:
            return check_signed(answer.leaf, answer.chain, self._roots, datetime.now(UTC), expected)
        except Retry as error:
            return WrongLeaf(error.message)

    async def sign_server(
        self, csr_pem: str, names: tuple[str, ...], lifetime: timedelta
    ) -> tuple[str, ...]:
        """Return the gateway's own certificate for `names` and its chain, leaf first, as PEM.

        Raises:
            MosaicError: `ca_unavailable` or `ca_refused`.
        """
        provisioner = _required(self._gateway, "gateway")
        ott = server_ott(provisioner, self._url, _now(), digest_of_pem(csr_pem), names)
        life = f"{int(lifetime.total_seconds())}s"
        answer = await self._sign({"csr": csr_pem, "ott": ott, "notAfter": life})
        match answer:
            case Signed():
                return (answer.leaf, *answer.chain)
            case Rejected():
                raise _refused(answer.reason)
            case NotSent() | Unanswered():
                raise _unavailable(answer.reason)

    async def revoke(self, serial: str, reason: str) -> None:
        """Revoke a serial (hex), whether or not it was ever signed; done already is done.

        Raises:
            MosaicError: `ca_unavailable` or `ca_refused`.
        """
        provisioner = _required(self._revocations, "revocations")
        request = revoke_request(provisioner, self._url, serial, reason)
        answer = await self._call("POST", "/1.0/revoke", json=request)
        if answer.status == 200 or (answer.status == 400 and REVOKED_ALREADY in answer.message):
            return
        if 400 <= answer.status < 500:
            raise _refused(answer.message)
        raise _unavailable(f"HTTP {answer.status}: {answer.message}")

    async def crl(self) -> bytes:
        """Return the current revocation list, DER."""
        return await self._get("/1.0/crl", limit=MAX_CRL)

    async def intermediates(self) -> tuple[str, ...]:
        """Return the certificates that sign now, as PEM."""
        document = await self._get_json("/1.0/intermediates")
        try:
            return split_pem("".join(document["crts"]))
        except (KeyError, TypeError, ValueError):
            raise _unavailable("the CA's list of intermediates cannot be read") from None

    async def health(self) -> str:
        """Return what the CA says of its health: `ok`."""
        return str((await self._get_json("/health")).get("status"))

    async def version(self) -> str:
        """Return the CA's version."""
        return str((await self._get_json("/version")).get("version"))

    async def provisioners(self) -> tuple[CaProvisioner, ...]:
        """Return every provisioner that the CA has."""
        document = await self._get_json("/1.0/provisioners?limit=100")
        try:
            return tuple(
                CaProvisioner(
                    each["name"],
                    each["type"],
                    str(each.get("key", {}).get("kid")),
                    each.get("claims") or {},
                    (each.get("options") or {}).get("x509") or {},
                )
                for each in document["provisioners"] or ()
            )
        except (KeyError, TypeError, AttributeError):
            raise _unavailable("the CA's list of provisioners cannot be read") from None

    async def _sign(self, request: dict[str, str]) -> Signed | NotSent | Rejected | Unanswered:
        try:
            answer = await self._wire.send("POST", "/1.0/sign", json=request)
        except NeverSent as error:
            return NotSent(str(error))
        except NoAnswer as error:
            return Unanswered(str(error))
        if 400 <= answer.status < 500:
            codes = (code for text, code in CSR_FAULTS.items() if text in answer.message)
            return Rejected(answer.status, answer.message, next(codes, ""))
        if answer.status != 201:
            return Unanswered(f"HTTP {answer.status}: {answer.message}")
        try:
            leaf, *chain = split_pem("".join(json.loads(answer.body)["certChain"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return Unanswered("the answer holds no certificate chain")
        return Signed(leaf, tuple(chain))

    async def _get_json(self, path: str) -> dict[str, Any]:
        try:
            document = json.loads(await self._get(path))
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise _unavailable(f"the answer to {path} is not a JSON object")
        return document

    async def _get(self, path: str, *, limit: int = MAX_JSON) -> bytes:
        answer = await self._call("GET", path, limit=limit)
        if not 200 <= answer.status < 300:  # step-ca answers some with 201
            raise _unavailable(f"HTTP {answer.status}: {answer.message}")
        return answer.body

    async def _call(
        self, method: str, path: str, *, json: Any = None, limit: int = MAX_JSON
    ) -> CaAnswer:
        try:
            return await self._wire.send(method, path, json=json, limit=limit)
        except (NeverSent, NoAnswer) as error:
            raise _unavailable(str(error)) from error


def revoke_request(
    provisioner: Provisioner, url: str, serial: str, reason: str
) -> dict[str, str | int]:
    """Return the document that has step-ca at `url` revoke a serial (hex)."""
    return {
        "serial": str(int(serial, 16)),
        "ott": revoke_ott(provisioner, url, _now(), serial),
        "reasonCode": REASON_CESSATION,
        "reason": reason,
        "passive": True,  # step-ca knows no other way
    }


def _now() -> OttTime:
    return OttTime(datetime.now(UTC), secrets.token_hex(32))


def _required(provisioner: Provisioner | None, name: str) -> Provisioner:
    if provisioner is None:
        raise NeedsEdit(
            "config_invalid",
            f"the key of the provisioner {name!r} is missing",
            hint="set MOSAIC_CA_PROVISIONERS to the folder that `ca init` wrote",
        )
    return provisioner


def _unavailable(reason: str) -> Retry:
    return Retry(
        "ca_unavailable",
        f"step-ca is not available: {reason}",
        hint="check that it runs; inside a home, `up` and `serve` start it",
    )


def _refused(reason: str) -> Refused:
    return Refused(
        "ca_refused",
        f"step-ca refused: {reason}",
        hint="its log says why; check its provisioners: `mosaic federation ca status`",
    )
