"""A repository with rules of trust, the people who sign, and a gateway that reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.commands.in_process import Quick, shell
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.repository import Checkout
from tests.support.repositories.signers import Signer, Signers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.process import Ended

RULES = """\
apiVersion: federation.mosaicstack.dev/v1
kind: TrustRules
rules:
  - paths: ["manifests/g*.yaml"]
    signers: [ada, grace]
    widening: 2
  - paths: ["manifests/beta.yaml"]
    signers: [ada]
  - paths: ["manifests/open/**"]
    signers: [ada, grace, eve]
rulesChange: {signers: [ada, grace], quorum: 2}
"""


@dataclass
class Trust:
    """A repository, the people who sign, and a gateway that requires it."""

    checkout: Checkout
    people: Signers
    mosaic: Quick
    ada: Signer
    grace: Signer

    @property
    def where(self) -> tuple[str, ...]:
        """The flags that name the source."""
        return ("--source", str(self.checkout.path), "--ref", "main", "--path", "manifests")

    def apply(self, *flags: str) -> Ended:
        return self.mosaic("apply", "--yes", "--require-signed", *self.where, *flags)

    def ok(self, *flags: str) -> None:
        done = self.apply(*flags)
        assert done.code == 0, done.err

    def untrusted(self, commit: str, *words: str) -> None:
        """Insist that the commit is refused, and that nothing was changed."""
        before = self.mosaic.rows.rows("SELECT name, spec_digest FROM federation_grants ORDER BY 1")
        done = self.apply()
        assert done.code == 6, done.err
        assert f"{commit[:12]} by Ada Lovelace <ada@alpha.example>" in done.err
        for word in words:
            assert word in done.err, done.err
        after = self.mosaic.rows.rows("SELECT name, spec_digest FROM federation_grants ORDER BY 1")
        assert after == before

    @classmethod
    def make(cls, folder: Path, database_url: str) -> Trust:
        """Make one whose first commit, with rules, is signed by Ada and applied."""
        people = Signers(folder)
        ada, grace = people.add("ada"), people.add("grace")
        checkout = Checkout.make(folder / "repository", beta=peer_manifest())
        checkout.write(g=grant_manifest("g"))
        (checkout.path / ".mosaic-trust.yaml").write_text(RULES)
        ada.commit(checkout, "With rules")
        mosaic = shell(folder, database_url)
        mosaic.variables["MOSAIC_ALLOWED_SIGNERS"] = str(people.file)
        made = cls(checkout, people, mosaic, ada, grace)
        made.ok()
        return made
