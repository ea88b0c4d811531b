"""The command line in this process: the real verbs, without the second that a process costs."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler.cli.main import run
from reconciler.core.issuance.invitation import Invitation, parse_invitation
from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.keyring import FileKeyring
from tests.support.commands.process import Command, Ended, write
from tests.support.gateways.enrollee import PEPPER, Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.core.issuance.tokens import Token

PUBLIC_URL: Final = "https://alpha.example:8443"


@dataclass(frozen=True)
class Quick(Command):
    """A shell whose commands run here; `at_terminal` and `process` still start a process."""

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        """Run to the end, with no terminal anywhere."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, same_logging():
            wanted = self.environ(variables)
            for name in os.environ.keys() - wanted.keys():
                patch.delenv(name)
            for name, value in wanted.items():
                patch.setenv(name, value)
            patch.chdir(self.cwd)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            with redirect_stdout(out), redirect_stderr(err):
                code = run(["federation", *arguments])
        return Ended(code, out.getvalue(), err.getvalue())

    @property
    def process(self) -> Command:
        """The same shell, a process each."""
        return Command(self.cwd, self.variables)

    @property
    def rows(self) -> Rows:
        """The database that the shell's variables name."""
        return Rows(self.variables["MOSAIC_DATABASE_URL"])

    def grant(self, name: str) -> Any:
        """The grant of a name as `grant show` tells it."""
        return self.document("grant", "show", name)

    def create(self, name: str, *options: str) -> Any:
        """Create a grant to beta for maria; return what it prints as JSON."""
        return self.document("grant", "create", name, *GRANTED, *options)

    def statuses(self, kind: str = "grant") -> dict[str, str]:
        """The status of each name, of a list that is by name and age."""
        return {each["name"]: each["status"] for each in self.document(kind, "list")}

    def token_status(self, token: Token) -> str:
        """The status of a token's row."""
        text: str = self.rows.one(
            "SELECT status FROM federation_enrollment_tokens WHERE public_id = :id",
            id=token.public_id,
        )
        return text

    def enroll(self, grant: str) -> str:
        """Make a grant's rows those of one that was enrolled under; return the serial."""
        serial = f"{1 + self.rows.one('SELECT count(*) FROM federation_certificates'):x}{'0' * 38}"
        token = self.rows.invite(grant)
        for statement in _ENROLLED:
            self.rows.run(statement, grant=grant, serial=serial, token=token.public_id)
        return serial

    def manifests(self, folder: str = "manifests") -> list[str]:
        """The names of the files of a source."""
        at = self.cwd / folder
        return sorted(each.name for each in at.iterdir()) if at.exists() else []


SCOPE: Final = '{"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 50}'
GRANTED: Final = ("--peer", "beta", "--subject-user", "maria@alpha.example", "--scope", SCOPE)


# what an enrollment leaves behind, as far as lists and plans look at it
_ENROLLED: Final = (
    (
        "UPDATE federation_enrollment_tokens SET status = 'claimed',"
        " claimed_at = clock_timestamp(),"
        " claimed_spki = encode(sha256(CAST(:serial AS bytea)), 'hex') WHERE public_id = :token"
    ),
    (
        "INSERT INTO federation_keys (spki_sha256, grant_id)"
        " SELECT claimed_spki, grant_id FROM federation_enrollment_tokens WHERE public_id = :token"
    ),
    (
        "INSERT INTO federation_certificates (id, grant_id, token_id, serial, spki_sha256, csr_pem,"
        " status, cert_pem, chain_pem, answer, fingerprint, not_before, not_after, issued_at)"
        " SELECT gen_random_uuid(), grant_id, id, :serial, claimed_spki, 'csr', 'issued', 'leaf',"
        " 'chain', '{}', 'sha256:' || claimed_spki, clock_timestamp(),"
        " clock_timestamp() + interval '1 day', clock_timestamp()"
        " FROM federation_enrollment_tokens WHERE public_id = :token"
    ),
    "UPDATE federation_enrollment_tokens SET status = 'spent' WHERE public_id = :token",
    (
        "UPDATE federation_grants SET status = 'active', activated_at = clock_timestamp()"
        " WHERE name = :grant AND status = 'pending'"
    ),
)


def shell(folder: Path, database_url: str) -> Quick:
    """Return a shell in a folder, with all that a gateway without a home needs set."""
    text = folder / "gateway"
    text.mkdir()
    root, pepper = text / "root_ca.crt", text / "token-pepper"
    root.write_text(new_ca("Alpha", datetime.now(UTC)).root)
    pepper.write_text(PEPPER.hex())
    pepper.chmod(0o400)
    FileKeyring.create(text / "keys")
    variables = {
        "MOSAIC_DATABASE_URL": database_url,
        "MOSAIC_SOURCE": "manifests",
        "MOSAIC_PUBLIC_URL": PUBLIC_URL,
        "MOSAIC_CA_ROOT": str(root),
        "MOSAIC_TOKEN_PEPPER_FILE": str(pepper),
        "MOSAIC_KEYRING": str(text / "keys"),
    }
    return Quick(folder, variables)


def shell_with_a_grant(folder: Path, database_url: str) -> Quick:
    """Return a shell whose source, the peer `beta` and the grant `x`, is applied."""
    made = shell(folder, database_url)
    write(folder / "manifests", beta=peer_manifest(), x=grant_manifest("x"))
    made.ok("apply", "--yes")
    return made


def invitation_of(document: Any) -> Invitation:
    """Return the invitation of what a command printed as JSON."""
    return parse_invitation(document["invitation"]["url"])


@contextmanager
def same_logging() -> Iterator[None]:
    # a verb configures logging for its process, and this one is the tests'
    top, ours = logging.getLogger(), logging.getLogger("reconciler")
    handlers, level, our_level = list(top.handlers), top.level, ours.level
    try:
        yield
    finally:
        top.handlers[:] = handlers
        top.setLevel(level)
        ours.setLevel(our_level)
