"""The side that holds a credential, and releases it to what uses it."""

from __future__ import annotations

import json
import shlex
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.crypto.certificates import read_certificate, split_pem
from reconciler.loops.credentials import Credentials
from reconciler.release import Releaser

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.renew import Renewer
    from tests.support.commands.in_process import Quick
    from tests.support.commands.process import Ended
    from tests.support.gateways.grantor import Alpha
    from tests.support.gateways.joiner import Beta


@dataclass(frozen=True)
class Holder:
    """The side that holds a credential of alpha's: its rows, and its operator's commands."""

    alpha: Alpha
    beta: Beta
    shell: Quick

    @property
    def folder(self) -> Path:
        return self.shell.cwd / "credential"

    def release(self, *options: str) -> Ended:
        return self.shell("peer", "credentials", "alpha", "--dir", str(self.folder), *options)

    def releases(self) -> list[dict[str, Any]]:
        records = self.beta.rows.audited("credential.released")
        return [json.loads(each["body"])["data"] for each in records]

    def serial(self, folder: Path | None = None) -> str:
        """The serial in a folder, whose key belongs to it."""
        folder = folder or self.folder
        generation = folder / (folder / "..data").readlink()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(generation / "tls.crt", generation / "tls.key")
        return read_certificate(split_pem((generation / "tls.crt").read_text())[0]).serial

    def end_grant(self) -> None:
        """End alpha's grant, as an operator there would."""
        self.alpha.rows.run(
            "UPDATE federation_grants"
            " SET status = 'revoked', revoked_at = now(), revoked_reason = 'test'"
        )

    def renew(self) -> None:
        """Renew, as if two thirds of the certificate's life had passed."""
        for rows, table, prefix in (
            (self.beta.rows, "federation_peers", "cert_"),
            (self.alpha.rows, "federation_certificates", ""),
        ):
            changes = ", ".join(
                f"{prefix}{column} = {prefix}{column} - interval '20 hours'"
                for column in ("not_before", "not_after")
            )
            rows.run(f"UPDATE {table} SET {changes}")
        self.beta.renew()

    def keep(
        self, *passes: Credentials, hook: str | None = None, run_hooks: bool = True
    ) -> Credentials:
        """Let the jobs run once; with the same state as before where one is given."""

        async def run(renewer: Renewer) -> Credentials:
            releaser = self._releaser(renewer, hook)
            job = passes[0] if passes else Credentials(renewer.database, releaser, self.kept)
            job.database, job.releaser = renewer.database, releaser
            await job.keep()
            while run_hooks and await job.run_hooks():
                pass
            return job

        result: Credentials = self.beta.run_renewal(run)
        return result

    @property
    def kept(self) -> Path:
        return self.shell.cwd / "kept"

    def _releaser(self, renewer: Renewer, hook: str | None) -> Releaser:
        words = tuple(shlex.split(hook)) if hook is not None else None
        rows = self.beta.rows.database
        return Releaser(rows, renewer.keys, "worker:tests", words, retries_hook=True)
