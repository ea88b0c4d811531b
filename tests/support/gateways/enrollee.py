"""Grants to enroll under, and peers that enroll: declared by real manifests, over real HTTPS."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.plan.guard import GuardOptions
from reconciler.core.source import Source, SourceFile
from reconciler.crypto.csr import digest_of_pem, make_csr
from reconciler.crypto.keys import PrivateKey, generate_key
from reconciler.crypto.proof import make_proof
from reconciler.manifest.load import load
from reconciler.reconcile import ApplyOptions, PlanResult, apply
from reconciler.store.apply.provenance import Provenance
from reconciler.store.db import Database
from reconciler.store.issuance import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from reconciler.core.issuance.tokens import Token

API: Final = "/federation/v1"
PEPPER: Final = b"p" * 32
PUBLIC_URL: Final = "https://127.0.0.1"

PEER: Final = """
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {{name: {name}}}
spec: {{direction: inbound, displayName: {name}}}
"""
GRANT: Final = """
apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata: {{name: {name}}}
spec:
  peer: {peer}
  subjectUserId: {subject}
  expiresAt: {expires}
  suspended: {suspended}
  scope:
    resources: [{{type: tasks, verbs: [list, get]}}]
    maxRowsPerQuery: {rows}
  certificate: {{lifetime: {lifetime}}}
"""


def peer_manifest(name: str = "beta") -> str:
    return PEER.format(name=name)


def grant_manifest(name: str, **changes: Any) -> str:
    values = {
        "peer": "beta",
        "subject": "maria@alpha.example",
        "expires": "2036-06-30T00:00:00Z",
        "suspended": "false",
        "rows": 500,
        "lifetime": "24h",
    }
    return GRANT.format(name=name, **(values | changes))


TRIGGERS: Final = (
    "SELECT tgname AS name, tgrelid::regclass::text AS table FROM pg_trigger WHERE NOT tgisinternal"
)


@dataclass(frozen=True)
class Rows:
    """A database as an operator sees it: applied to, invited from, looked into."""

    url: str = field(repr=False)

    @property
    def database(self) -> Database:
        return Database(self.url, "tests")

    def apply(self, *manifests: str, options: ApplyOptions | None = None) -> PlanResult:
        """Apply a source of these manifests, and no others."""
        files = tuple(
            SourceFile(f"{number}.yaml", text.encode()) for number, text in enumerate(manifests)
        )
        by = Provenance("user:tests", "tests")
        chosen = options or ApplyOptions(GuardOptions(allow_empty=True))
        return apply(self.database, load(Source("tests", files)), by, chosen)

    def invite(self, grant: str, life: timedelta = timedelta(hours=1)) -> Token:
        """Mint a token for a live grant."""
        with self.database.transaction() as tx:
            row = tx.one(
                "SELECT id FROM federation_grants WHERE name = :name ORDER BY created_at DESC",
                name=grant,
            )
            return tokens.mint(tx, row["id"], PEPPER, life, "user:tests").token

    def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        with self.database.transaction() as tx:
            return tx.rows(statement, **values)

    def one(self, statement: str, **values: object) -> Any:
        """Return the only value of the only row."""
        (row,) = self.rows(statement, **values)
        (value,) = row.values()
        return value

    def run(self, statement: str, **values: object) -> int:
        with self.database.transaction() as tx:
            return tx.run(statement, **values)

    def tamper(self, statement: str, **values: object) -> int:
        """Run a statement as who owns the server can: with no trigger in the way."""
        with self.database.transaction(unlimited=True) as tx:
            tx.run("SET LOCAL session_replication_role = 'replica'")  # of constraints
            triggers = tx.rows(TRIGGERS)
            for each in triggers:
                tx.run(f"ALTER TABLE {each['table']} DISABLE TRIGGER {each['name']}")
            changed = tx.run(statement, **values)
            for each in triggers:
                tx.run(f"ALTER TABLE {each['table']} ENABLE ALWAYS TRIGGER {each['name']}")
            return changed

    @contextmanager
    def certificates_due(self) -> Iterator[None]:
        """Let every certificate be two thirds through its life until the block ends."""
        moved = "SET not_before = not_before {0} lived, not_after = not_after {0} lived"
        of_age = f"UPDATE federation_certificates {moved} FROM (SELECT id AS of_id,"
        of_age += " (not_after - not_before) * 0.7 AS lived FROM federation_certificates) AS lives"
        aged = self.rows(
            f"{of_age} WHERE id = of_id AND status = 'issued' RETURNING id".format("-")
        )
        try:
            yield
        finally:
            ids = [row["id"] for row in aged]
            self.run(f"{of_age} WHERE id = of_id AND id = ANY(:ids)".format("+"), ids=ids)

    def grant_status(self, name: str) -> str:
        status = "SELECT status_now FROM federation_grants_now WHERE name = :name"
        text: str = self.one(f"{status} ORDER BY created_at DESC LIMIT 1", name=name)
        return text

    def audited(self, kind: str) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT subject, body FROM federation_audit_log WHERE kind = :kind ORDER BY seq",
            kind=kind,
        )


@dataclass(frozen=True)
class Enrollee:
    """A peer with a key: what it sends, and what it gets."""

    key: PrivateKey = field(default_factory=generate_key)
    csr: str = ""

    def csr_pem(self) -> str:
        return self.csr or make_csr(self.key)

    def enroll(self, client: httpx.Client, token: Token | str) -> httpx.Response:
        return client.post(f"{API}/enroll", headers=bearer(token), json={"csr": self.csr_pem()})

    def proof(self, method: str, path: str, **claims: str) -> dict[str, str]:
        url = f"{PUBLIC_URL}{API}{path}"
        fresh = {"jti": secrets.token_hex(16), **claims}
        return {"DPoP": make_proof(self.key, method, url, datetime.now(UTC), fresh)}

    def pickup(self, client: httpx.Client) -> httpx.Response:
        path = "/certificates/pickup"
        return client.post(f"{API}{path}", headers=self.proof("POST", path), json={})

    def grant(self, client: httpx.Client) -> httpx.Response:
        return client.get(f"{API}/grant", headers=self.proof("GET", "/grant"))

    def renew(self, client: httpx.Client, successor: Enrollee) -> httpx.Response:
        path, csr = "/certificates/renew", successor.csr_pem()
        headers = self.proof("POST", path, **{"csr#S256": digest_of_pem(csr)})
        return client.post(f"{API}{path}", headers=headers, json={"csr": csr})


def bearer(token: Token | str) -> dict[str, str]:
    spelled = token if isinstance(token, str) else token.spelled()
    return {"Authorization": f"Bearer {spelled}"}


def problem_code(response: httpx.Response, status: int) -> str:
    """Return the code of a problem, which is answered with a status."""
    assert response.status_code == status, response.text
    text: str = response.json()["code"]
    return text
