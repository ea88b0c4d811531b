"""Attacks by peers that were let in once: a spent token from other keys, and renewals too early."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler.crypto.csr import digest_of_pem, make_csr
from reconciler.crypto.keys import generate_key
from reconciler.crypto.proof import make_proof
from tests.soak.target import PATIENCE_S, WRONG
from tests.support.gateways.enrollee import API, bearer

if TYPE_CHECKING:
    from reconciler.crypto.keys import PrivateKey
    from tests.soak.target import Target

REFUSED: Final = ("409", "410", "429", "503")
EACH: Final = 20  # requests over one connection


@dataclass
class Connection:
    """A connection that sends one request after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_open: bool = True

    async def post(self, path: str, headers: dict[str, str], csr: str) -> str:
        """Return the status of the answer."""
        body = json.dumps({"csr": csr})
        fields = {
            "Host": "127.0.0.1",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"POST {API}{path} HTTP/1.1\r\n{lines}\r\n{body}".encode())
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await self.reader.readexactly(int(length))
        self.is_open = "connection: close" not in head
        return head[9:12]


async def replay_spent_token(target: Target, number: int) -> None:
    """Come with a token that has been spent, each time with another key."""
    source, token = f"127.0.16.{number % 20 + 1}", target.token(number)
    await _enroll_once(target, source, token)
    connection = Connection(*await target.open(source))
    try:
        for _ in range(EACH):
            csr = make_csr(generate_key())
            _judge(target, "a spent token", await connection.post("/enroll", bearer(token), csr))
            if not connection.is_open:
                break
    finally:
        connection.writer.close()


async def renew_early(target: Target, number: int) -> None:
    """Renew a certificate before its time, each time for another key."""
    source, token = f"127.0.17.{number % 20 + 1}", target.token(number)
    key = await _enroll_once(target, source, token)
    url = f"https://127.0.0.1:{target.ports[0]}{API}/certificates/renew"
    connection = Connection(*await target.open(source))
    try:
        for _ in range(EACH):
            csr = make_csr(generate_key())
            claims = {"jti": secrets.token_hex(16), "csr#S256": digest_of_pem(csr)}
            proof = make_proof(key, "POST", url, datetime.now(UTC), claims)
            status = await connection.post("/certificates/renew", {"DPoP": proof}, csr)
            _judge(target, "an early renewal", status)
            if not connection.is_open:
                break
    finally:
        connection.writer.close()


def _judge(target: Target, what: str, status: str) -> None:
    target.results[f"answered {status}"] += 1
    if status not in REFUSED:
        target.results[f"{WRONG}: {what} was answered {status}"] += 1


async def _enroll_once(target: Target, source: str, token: str) -> PrivateKey:
    """Spend a token honestly, and return the key; again only returns it."""
    async with target.enrolling:
        if token not in target.keys:
            key = generate_key()
            connection = Connection(*await target.open(source))
            try:
                status = await connection.post("/enroll", bearer(token), make_csr(key))
            finally:
                connection.writer.close()
            if status != "201":
                raise ConnectionError(f"an enrollment was answered {status}")
            target.keys[token] = key
        return target.keys[token]
