"""The table of the settings: what each is called, what it means, and how its text is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reconciler.core import setting_values as values
from reconciler.core.model.origin import read_origin
from reconciler.errors import NeedsEdit
from reconciler.log import read_log_format

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX: Final = "MOSAIC_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its variable is `MOSAIC_` and the name in capitals; `read` parses its text.

    A `secret` may come from a file; its text is not `shown` in an error, nor is a command's.
    `in_home` is false for what a home has of its own, so that nobody else's can be named.
    """

    name: str
    read: Callable[[str], Any]
    meaning: str
    secret: bool = False
    shown: bool = True
    in_home: bool = True

    @property
    def variable(self) -> str:
        """The environment variable of the setting."""
        return PREFIX + self.name.upper()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A setting's text, and who set it: the name that an error shows. Paths start at `base`.

    `stored` is true if it can stand in `mosaic.toml`; `file` is where a secret was read from.
    """

    text: str = field(repr=False)
    origin: str
    base: Path
    stored: bool = False
    file: Path | None = None


SETTINGS: Final = (
    Setting("home", Path, "the folder of an embedded gateway (default .mosaic, searched upward)"),
    Setting(
        "safe_homes",
        values.read_safe_homes,
        "homes (path:path, or *) that are used though others own or may write them",
    ),
    Setting("source", values.read_git_word, "where manifests come from: a folder or a git URL"),
    Setting(
        "ref", values.read_git_word, "the git ref to read; with it, a path is a repository too"
    ),
    Setting("path", values.read_git_word, "the folder of the manifests within a git repository"),
    Setting(
        "database_url",
        values.read_text,  # all else of it is libpq's to read
        "the libpq URL of PostgreSQL 15+",
        secret=True,
        in_home=False,
    ),
    Setting(
        "database_password_command",
        values.read_command,
        "a command that prints the database's password, run at each connect",
        shown=False,
        in_home=False,
    ),
    Setting(
        "postgres_bin", Path, "the folder of a PostgreSQL 15+ to run in a home, not the wheel's"
    ),
    Setting("ca_url", read_origin, "the URL of step-ca"),
    Setting("ca_root", Path, "the PEM bundle of our CA's roots", in_home=False),
    Setting("ca_provisioners", Path, "the folder of the provisioners' private keys (serve)"),
    Setting("listen", values.read_listen, "the address of the HTTPS endpoint, host:port"),
    Setting("workers", values.read_workers, "processes that share the HTTPS endpoint (1)"),
    Setting("public_url", read_origin, "the URL under which peers reach the endpoint"),
    Setting("keyring", Path, "the folder of the sealing keys"),
    Setting("token_pepper_file", Path, "the file of the token pepper, 32 bytes in hex"),
    Setting(
        "plan_key_file",
        Path,
        "the file of the key that saved plans have a MAC of (default plan-mac-key in the keyring)",
    ),
    Setting("oid_arc", values.read_oid_arc, "the arc of the OIDs in certificates"),
    Setting("allow_addresses", values.read_networks, "non-global networks that may be called"),
    Setting("peer_proxy", values.read_peer_proxy, "environment: reach peers through HTTPS_PROXY"),
    Setting("credentials_dir", Path, "the folder that holds each outbound peer's credential"),
    Setting(
        "credentials_exec",
        values.read_command,
        "a command that runs after a credential in it has changed",
        shown=False,
    ),
    Setting("notify_file", Path, "a TOML file of the targets of notices, [[notify]] tables"),
    Setting(
        "state_dir",
        Path,
        "a folder outside the database that remembers its newest audit record",
        in_home=False,
    ),
    Setting("checkpoint_dir", Path, "the folder that gets a checkpoint of the audit log each day"),
    Setting(
        "checkpoint_exec",
        values.read_command,
        "a command that gets each of these checkpoints on its standard input",
        shown=False,
    ),
    Setting("trusted_proxies", values.read_networks, "networks whose PROXY headers are believed"),
    Setting("proxy_protocol", values.read_switch, "true: trusted proxies send a PROXY header"),
    Setting("allowed_signers", Path, "who may sign commits, in the format of ssh-keygen"),
    Setting("signers_keyring", Path, "the OpenPGP public keys of who may sign commits"),
    Setting("require_signed", values.read_switch, "true: apply only signed commits"),
    Setting(
        "private_listen",
        values.read_private_listen,
        "the address of the private listener, host:port or unix:PATH",
    ),
    Setting("private_token_file", Path, "the file of the token that the private listener asks for"),
    Setting("private_hosts", values.read_hosts, "host names of the private listener"),
    Setting(
        "suspend_on_theft",
        values.read_switch,
        "true: a token or certificate that comes with another key suspends its grant",
    ),
    Setting("log_format", read_log_format, "how events are logged: text, or json"),
    Setting("rate_limit", values.read_rate_limit, "requests of one address (30/s; 0 is off)"),
)
# what says which home, and whether it is trusted, cannot stand in the home itself
NOT_IN_HOME: Final = frozenset({"home", "safe_homes"})
BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def invalid(where: str, message: str, hint: str) -> NeedsEdit:
    """Return the error of a setting; `where` is the variable, flag or file that is wrong."""
    return NeedsEdit("config_invalid", f"{where}: {message}", hint=hint)
