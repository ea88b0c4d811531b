"""People who sign commits, each with a key of their own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.repositories.repository import Checkout


@dataclass(frozen=True)
class Signer:
    """Somebody with an SSH key."""

    name: str
    key: Path
    namespace: str = "git"

    @property
    def allowed(self) -> str:
        """The line of the allowed-signers file."""
        public = self.key.with_suffix(".pub").read_text().split()
        return f'{self.name} namespaces="{self.namespace}" {public[0]} {public[1]}\n'

    def commit(self, checkout: Checkout, subject: str, *options: str) -> str:
        """Commit all that is there, signed; return the hash."""
        checkout.git("add", "-A")
        words = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.key}")
        checkout.git(*words, "commit", "-q", "-S", "--allow-empty", "-m", subject, *options)
        return checkout.head

    def sign_off(self, checkout: Checkout, commit: str) -> str:
        """Sign somebody's commit off, by an empty one."""
        return self.commit(checkout, "Reviewed", "--trailer", f"Signs-off: {commit}")


@dataclass
class Signers:
    """The people of a test, and the file of those who may sign."""

    folder: Path
    namespace: str = "git"
    allowed: dict[str, Signer] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "allowed_signers"

    def add(self, name: str, *, allow: bool = True) -> Signer:
        """Give somebody a key; and let them sign."""
        made = Signer(name, self.folder / f"key-{name}", self.namespace)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(made.key)]
        subprocess.run(words, check=True)
        if allow:
            self.allowed[name] = made
        self.write()
        return made

    def remove(self, name: str) -> None:
        del self.allowed[name]
        self.write()

    def write(self) -> None:
        self.file.write_text("".join(each.allowed for each in self.allowed.values()))


@dataclass(frozen=True)
class Gpg:
    """Somebody with an OpenPGP key, in a keyring of their own."""

    home: Path
    mail: str

    @classmethod
    def make(cls, home: Path, mail: str, *options: str) -> Gpg:
        home.mkdir(mode=0o700)
        made = cls(home, mail)
        made.run(*options, "--quick-generate-key", f"Grace <{mail}>", "ed25519", "sign", "0")
        return made

    def run(self, *words: str) -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", ""]
        pinentry = ("--pinentry-mode", "loopback")
        done = subprocess.run([*command, *pinentry, *words], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    @property
    def fingerprint(self) -> str:
        listed = self.run("--with-colons", "--list-keys", self.mail).decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))

    def export(self, path: Path) -> Path:
        path.write_bytes(self.run("--armor", "--export", self.mail))
        return path

    def commit(self, checkout: Checkout, subject: str) -> str:
        checkout.git("add", "-A")
        os.environ["GNUPGHOME"] = str(self.home)
        try:
            words = ("-c", f"user.signingkey={self.mail}")
            checkout.git(*words, "commit", "-q", "-S", "--allow-empty", "-m", subject)
        finally:
            del os.environ["GNUPGHOME"]
        return checkout.head

    def stop(self) -> None:
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "all"],
            check=False,
            timeout=PATIENCE_S,
        )
