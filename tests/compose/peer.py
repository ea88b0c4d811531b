"""A peer that does not give up: it enrolls, over restarts, until it holds its certificate."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx

from reconciler.core.issuance.invitation import parse_invitation
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import PrivateKey, generate_key
from reconciler.crypto.proof import make_proof
from tests.compose.stack import ALPHA_URL, Stack, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

API: Final = "/federation/v1"
PATIENCE_S: Final = 120
GRANT: Final = """
apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata: {{name: {name}}}
spec:
  peer: beta
  subjectUserId: maria@alpha.example
  expiresAt: 2036-06-30T00:00:00Z
  scope: {{resources: [{{type: tasks, verbs: [list]}}], maxRowsPerQuery: 5}}
---
"""


@dataclass(frozen=True)
class Peer:
    """Who was invited to a grant: with one key, from the first attempt to the last."""

    stack: Stack
    root: str = field(repr=False)
    invitation: str = field(repr=False)
    key: PrivateKey = field(default_factory=generate_key, repr=False)

    def enroll(self) -> Any:
        """Return the *issued* answer, however often it takes."""
        csr = make_csr(self.key)
        deadline = time.monotonic() + PATIENCE_S
        reply: object = None
        while time.monotonic() < deadline:
            try:
                answer = self._post("/enroll", {"Authorization": self._bearer()}, {"csr": csr})
                if answer.status_code == 410 and answer.json()["code"] == "token_spent":
                    answer = self.pickup()
            except httpx.TransportError as error:
                reply = error
            else:
                if answer.status_code in (200, 201):
                    return answer.json()
                reply = answer.text
                assert answer.json()["retryable"], reply
            time.sleep(0.5)
        raise AssertionError(reply)

    def pickup(self) -> httpx.Response:
        """Ask for the certificate again, by a proof of the key."""
        path = f"{API}/certificates/pickup"
        claims = {"jti": uuid4().hex}
        proof = make_proof(self.key, "POST", f"{ALPHA_URL}{path}", datetime.now(UTC), claims)
        return self._post("/certificates/pickup", {"DPoP": proof}, {})

    def _bearer(self) -> str:
        return f"Bearer {parse_invitation(self.invitation).token.spelled()}"

    def _post(self, path: str, headers: dict[str, str], body: dict[str, str]) -> httpx.Response:
        with self.stack.client(self.root) as client:
            return client.post(f"{API}{path}", headers=headers, json=body)


def invited(stack: Stack, names: Iterable[str]) -> dict[str, Peer]:
    """Declare grants in git, let the loop apply them, and invite a peer to each."""
    wanted = list(names)
    manifest = stack.manifests("alpha") / f"{wanted[0]}.yaml"
    manifest.write_text("".join(GRANT.format(name=name) for name in wanted).removesuffix("---\n"))
    listed = "SELECT string_agg(name, ' ') FROM federation_grants"
    wait_until(
        lambda: set(wanted) <= set(stack.sql("alpha", listed).split()), "the loop applies it", 60
    )
    root = stack.root()
    invite = f"for name in {' '.join(wanted)}; do mosaic federation grant invite $name; done"
    urls = stack.ok("run", "-T", "--rm", "--entrypoint", "sh", "cli", "-euc", invite).split()
    return {name: Peer(stack, root, url) for name, url in zip(wanted, urls, strict=True)}
