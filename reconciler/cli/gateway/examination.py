"""An examination of a gateway by `doctor`: its findings, and what is exposed of its CA."""

from __future__ import annotations

import ipaddress
import shlex
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.core.model.origin import address_of
from reconciler.embedded.stepca.config import listen_host
from reconciler.errors import OTHER_USER, MosaicError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.config.home import Home

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
ROOT_KEY: Final = "root_ca_key"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `hint` says what to type where it is not well."""

    check: str
    state: str
    detail: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the object of `--output json`."""
        return {
            "check": self.check,
            "state": self.state,
            "detail": self.detail,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Examination:
    """The findings so far."""

    findings: list[Finding] = field(default_factory=list)

    def check(self, name: str, look: Callable[[], str], *, may_be_down: bool = False) -> bool:
        """Note what `look` returns, or why it failed; `may_be_down` takes a `Retry` for a warning.

        Return whether it is well.
        """
        try:
            detail = look()
        except MosaicError as error:
            state = WARNING if may_be_down and isinstance(error, Retry) else FAILED
            self.findings.append(Finding(name, state, error.message, error.hint))
            return False
        except OSError as error:
            hint = OTHER_USER
            self.findings.append(Finding(name, FAILED, f"{error.filename}: {error.strerror}", hint))
            return False
        self.findings.append(Finding(name, OK, detail))
        return True

    def warn(self, name: str, what: str, hint: str) -> None:
        """Note what works, though it may not be meant."""
        self.findings.append(Finding(name, WARNING, what, hint))

    def skip(self, name: str, why: str) -> None:
        """Note that a check was not made."""
        self.findings.append(Finding(name, SKIPPED, why))


def exposures(settings: Settings) -> Iterator[Finding]:
    """Yield whether the root's key is online, and whether step-ca can be reached from elsewhere."""
    if settings.embedded and settings.home is not None:
        yield _root_key(settings.home)
        with suppress(MosaicError):  # a `ca.json` that cannot be read is found by other checks
            yield _listener(listen_host(settings.home.ca), "it listens on")
    elif settings.ca_url is not None:
        yield _listener(address_of(settings.ca_url)[0], "its URL leads to")


def _root_key(home: Home) -> Finding:
    for path in _root_keys(home):
        if path.exists():
            return Finding(
                "root key",
                WARNING,
                f"{path} is online: anybody who reads it can issue any certificate",
                "take it offline, and keep two copies: nothing needs it until the intermediate"
                f" expires: `mv {shlex.quote(str(path.parent))} /media/offline/`",
            )
    return Finding("root key", OK, "it is not on this machine's gateway")


def _root_keys(home: Home) -> tuple[Path, ...]:
    """Return where the key may lie: where `ca init` puts it, and where step's own init does."""
    return home.ca_root_key, home.ca / ROOT_KEY, home.ca / "secrets" / ROOT_KEY


def _listener(host: str, how: str) -> Finding:
    exposed = [each for each in _addresses(host) if _is_exposed(each)]
    if not exposed:
        return Finding("CA network", OK, "only this machine or network can reach step-ca")
    return Finding(
        "CA network",
        WARNING,
        f"other machines may be able to reach step-ca: {how} {exposed[0]}",
        "let it listen on a loopback or private address (`address` in its ca.json), or put a"
        " firewall before it: only `serve` has to reach it",
    )


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses of a host; an empty one is every address of the machine."""
    if not host:
        return [ipaddress.IPv6Address("::")]
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the check of the CA, which asks it, says why
        return []
    return [
        ipaddress.ip_address(text) for text in dict.fromkeys(str(each[4][0]) for each in entries)
    ]


def _is_exposed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_unspecified or not (address.is_loopback or address.is_private)
