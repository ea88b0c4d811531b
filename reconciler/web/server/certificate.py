"""The endpoint's own certificate: signed by our CA, stored, and renewed while the server runs."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from reconciler.core.issuance.policy import renew_after
from reconciler.core.model.backoff import Backoff
from reconciler.crypto.certificates import read_certificate, split_pem, verify_chain
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key, load_private_key, private_key_pem, spki_sha256
from reconciler.errors import MosaicError, Retry
from reconciler.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


LIFETIME: Final = timedelta(hours=24)
BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(minutes=1))
LONGEST_SLEEP_S: Final = 60.0  # then the clock is read again: machines sleep, and clocks are set

OID_SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"  # RFC 5280 4.2.1.12

_log = logging.getLogger(__name__)


class SignServer(Protocol):
    """`CaClient.sign_server`: a CSR, the names and the lifetime to the leaf and its chain."""

    async def __call__(
        self, csr_pem: str, names: tuple[str, ...], lifetime: timedelta
    ) -> tuple[str, ...]:
        """Return PEM texts; raise `MosaicError`."""
        ...


@dataclass(frozen=True, slots=True)
class _Identity:
    """A private key, its certificate and the intermediates, as one PEM text."""

    pem: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime

    @property
    def due(self) -> datetime:
        return renew_after(self.not_before, self.not_after)


def _nobody(_pem: bytes) -> None:
    pass


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ServerCertificate:
    """The certificate in use, and the TLS context that serves it.

    `cache` is where key and certificate outlive a restart, so that a gateway whose CA is down still
    serves; without one they are in memory alone.
    """

    def __init__(
        self,
        sign: SignServer,
        names: tuple[str, ...],
        roots: tuple[str, ...],
        *,
        cache: Path | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._sign, self._names, self._roots = sign, names, roots
        self._cache, self._clock = cache, clock
        self._current: _Identity | None = None
        self.context = new_context()
        self.changed: Callable[[bytes], None] = _nobody  # is given each PEM text that is used

    async def obtain(self) -> None:
        """Have a valid certificate: the cached one, or a new one as soon as the CA signs it."""
        cached = self._cached()
        if cached is None:
            await self._renew_at_last()
        else:
            self._use(cached)

    @property
    def pem(self) -> bytes:
        """The private key, the certificate and the intermediates in use; `obtain` comes first."""
        assert self._current is not None
        return self._current.pem

    async def keep(self) -> None:
        """Renew at two thirds of each certificate's life, for ever. `obtain` comes first."""
        assert self._current is not None
        while True:
            left_s = (self._current.due - self._clock()).total_seconds()
            if left_s <= 0:
                await self._renew_at_last()
            await asyncio.sleep(min(max(left_s, 0.0), LONGEST_SLEEP_S))

    async def renew(self) -> None:
        """Have a new certificate signed for a new key, and serve it to new connections.

        Raises:
            MosaicError: the CA does not sign, or `ca_wrong_answer`.
        """
        key = generate_key()
        signed = await self._sign(make_csr(key), self._names, LIFETIME)
        pem = private_key_pem(key) + "".join(signed).encode()
        try:
            renewed = self._read(pem)
        except (ValueError, ssl.SSLError) as error:
            raise Retry(
                "ca_wrong_answer", f"the server certificate is not what was requested: {error}"
            ) from None
        self._use(renewed)
        self._store(pem)
        _log.info("server certificate for %s until %s", ", ".join(self._names), renewed.not_after)

    def _use(self, identity: _Identity) -> None:
        load_identity(self.context, identity.pem)
        self._current = identity
        self.changed(identity.pem)

    async def _renew_at_last(self) -> None:
        failures = 0
        while True:
            try:
                return await self.renew()
            except (MosaicError, OSError) as error:  # OSError: no descriptor is left for the key
                state = (
                    f"the current one expires {self._current.not_after:%Y-%m-%d %H:%M:%S} UTC"
                    if self._current
                    else "the port opens when there is one"
                )
                wait_s = BACKOFF.wait(failures).total_seconds()
                _log.warning(
                    "no new server certificate (%s); trying again in %.0f s; %s",
                    f"{error.code}: {error}" if isinstance(error, MosaicError) else error,
                    wait_s,
                    state,
                    extra={"code": getattr(error, "code", None)},
                )
            await asyncio.sleep(wait_s)
            failures += 1

    def _read(self, pem: bytes) -> _Identity:
        """Return the identity of a PEM text that is valid now and ours; else `ValueError`."""
        text = pem.decode("ascii")
        leaf, *chain = split_pem(text)
        facts = read_certificate(leaf)
        if spki_sha256(load_private_key(pem).public_key()) != facts.spki_sha256:
            raise ValueError("the certificate is for another key")
        if OID_SERVER_AUTH not in facts.extended_key_usage:
            raise ValueError("the certificate is not for servers")
        certified = {name.partition(":")[2] for name in facts.general_names}
        if missing := set(self._names) - certified:
            raise ValueError(f"the certificate lacks the names {', '.join(sorted(missing))}")
        try:
            verify_chain(leaf, chain, self._roots, self._clock())
        except MosaicError as error:
            raise ValueError(error.message) from None
        load_identity(new_context(), pem)  # what TLS refuses must not replace what is served
        return _Identity(pem, facts.not_before, facts.not_after)

    def _cached(self) -> _Identity | None:
        if self._cache is None or not self._cache.is_file():
            return None
        try:
            return self._read(self._cache.read_bytes())
        except (OSError, ValueError, ssl.SSLError) as error:
            _log.info("the stored server certificate is not used: %s", error)
            return None

    def _store(self, pem: bytes) -> None:
        if self._cache is None:
            return
        try:
            replace_file(self._cache, pem, 0o600)
        except OSError as error:  # it serves all the same
            _log.warning("the server certificate cannot be stored: %s", error.strerror)


def new_context() -> ssl.SSLContext:
    """Return the TLS context of an endpoint, without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # of TLS 1.2; RFC 9325 4.2
    context.set_alpn_protocols(["http/1.1"])
    return context


def load_identity(context: ssl.SSLContext, pem: bytes) -> None:
    """Serve a private key and its certificates to new connections."""
    # OpenSSL wants a file; this one is memory, and gone at once
    with os.fdopen(os.memfd_create("server.pem"), "wb") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
