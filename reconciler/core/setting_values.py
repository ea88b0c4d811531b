"""The values of settings, and how their texts are read; pure, as all of the core."""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.core.model.text import printable, without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.model.origin import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


@dataclass(frozen=True, slots=True)
class SourceSetting:
    """Where manifests come from: a folder, or a git repository, a ref and a path within.

    `cache` is the folder that keeps mirrors of repositories elsewhere; None: the user's own.
    `ref_origin` says who set the ref, as an error names it.
    """

    location: str
    ref: str | None = None
    path: str | None = None
    cache: str | None = field(default=None, compare=False)
    ref_origin: str | None = field(default=None, compare=False)

    @property
    def is_git(self) -> bool:
        """Whether it names a repository: a URL, or a path with a ref."""
        return self.ref is not None or is_url(self.location)

    @property
    def shown(self) -> str:
        """The source as outputs name it: without credentials."""
        ref = f"@{self.ref}" if self.ref is not None else ""
        return printable(f"{without_credentials(self.location)}{ref}", 255)


def folder_options(source: SourceSetting) -> str:
    """Return the options that name a folder instead of a repository, whoever set the ref."""
    folder = "--source DIR " if is_url(source.location) else ""
    path = " --path ''" if source.path is not None else ""
    return f"{folder}--ref ''{path}"


def is_url(location: str) -> bool:
    """Tell whether a source is no path here: a URL, `user@host:path`, or a helper of git's (`::`).

    A folder of such a name is written with `./` before it.
    """
    return bool(re.match(r"[A-Za-z0-9+.-]+(?:://|::)|[A-Za-z0-9._-]+@[^/]+:", location, re.ASCII))


@dataclass(frozen=True, slots=True)
class SignatureSetting:
    """Whose signatures of commits count: the files of SSH's allowed signers and OpenPGP's keys."""

    allowed_signers: str | None = None
    keyring: str | None = None


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """The HTTP proxy that the environment names, and whether peers are reached through it.

    `url` may hold a password, and is of `variable`; `bypass` are the entries of NO_PROXY.
    """

    url: str | None = field(default=None, repr=False)
    bypass: tuple[str, ...] = ()
    used: bool = False
    variable: str = "HTTPS_PROXY"


def read_proxy_rules(environ: Mapping[str, str], *, used: bool) -> ProxyRules:
    """Return the rules of `https_proxy`, `all_proxy` and `no_proxy`; lower case first, as curl."""
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    variable = next((name for name in names if environ.get(name)), names[1])
    url = environ.get(variable) or None
    if url is not None and "://" not in url:
        url = f"http://{url}"
    bypass = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    entries = tuple(entry.strip() for entry in bypass.split(",") if entry.strip())
    return ProxyRules(url, entries, used, variable)


def read_peer_proxy(text: str) -> bool:
    """Return whether `environment` is asked for, and not `off`; raise `ValueError` else."""
    if text not in ("off", "environment"):
        raise ValueError("expected off or environment")
    return text == "environment"


def read_switch(text: str) -> bool:
    """Return what `true` or `false` say; raise `ValueError` else."""
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests of one address: `per_s` in the long run, `burst` at once. 0 a second is off."""

    per_s: float = 30.0
    burst: int = 100


DEFAULT_RATE_LIMIT: Final = RateLimit()
MAX_WORKERS: Final = 32  # processes of one endpoint


def read_text(text: str) -> str:
    """Return the text; raise `ValueError` where it is empty or not printable."""
    if not text.strip():
        raise ValueError("expected text")
    if not text.isprintable():
        odd = next(each for each in text if not each.isprintable())
        what = "a line break" if odd in "\r\n" else f"U+{ord(odd):04X}, which does not print"
        raise ValueError(f"it contains {what}")
    return text


def read_safe_homes(text: str) -> tuple[str, ...]:
    """Return the paths of homes, between colons; raise `ValueError` unless absolute, or `*`."""
    paths = tuple(filter(None, text.split(":")))
    if not paths or not all(each == "*" or each.startswith("/") for each in paths):
        raise ValueError("expected absolute paths with colons between them, or *")
    return paths


def read_git_word(text: str) -> str:
    """Return a source, a ref or a path; raise `ValueError` where it could be git's option."""
    if read_text(text).startswith("-"):
        raise ValueError("it begins with a dash")
    return text


def read_command(text: str) -> tuple[str, ...]:
    """Return the words of a command as a shell splits them; raise `ValueError` else."""
    words = tuple(shlex.split(read_text(text)))
    if not words or not words[0]:
        raise ValueError("expected a command")
    return words


def read_listen(text: str) -> Address:
    """Return host and port of `host:port`; raise `ValueError` else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and 0 < int(port) < 65536):
        raise ValueError("expected host:port with a port of 1 to 65535, such as 127.0.0.1:8443")
    if not (_is_address(host) or re.fullmatch(_HOST_NAME, host, re.ASCII)):
        raise ValueError("expected host:port with a name or an address, such as 127.0.0.1:8443")
    return host, int(port)


_HOST_NAME: Final = r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class UnixPath:
    """The path of a socket of this machine."""

    path: str

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"


UNIX: Final = "unix:"


def read_private_listen(text: str) -> Address | UnixPath:
    """Return host and port, or a path after `unix:`; raise `ValueError` else."""
    if not text.startswith(UNIX):
        return read_listen(text)
    path = text.removeprefix(UNIX)
    if not path.strip() or "\0" in path:
        raise ValueError("expected a path after unix:")
    return UnixPath(path)


def read_hosts(text: str) -> frozenset[str]:
    """Return the names of hosts of a list with commas, in lower case; raise `ValueError` else."""
    names = frozenset(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if not re.fullmatch(_HOST_NAME, name, re.ASCII):
            raise ValueError(f"expected names such as mosaic.internal, and no port: {name!r}")
    return names


def read_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list with commas; raise `ValueError` else."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    try:
        return tuple(ipaddress.ip_network(item) for item in items)
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.0.0.0/8,::1/128: {error}") from None


def read_oid_arc(text: str) -> str:
    """Return a dotted OID; raise `ValueError` else. Below 0 and 1 are 40 arcs each (X.660 7.6)."""
    pattern = r"(?:[01]\.[1-3]?[0-9]|2\.(?:0|[1-9][0-9]{0,9}))(?:\.(?:0|[1-9][0-9]{0,9}))+"
    if len(text) > 64 or not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(f"expected an OID such as {DEFAULT_OID_ARC}")
    return text


def read_workers(text: str) -> int:
    """Return the number of processes; raise `ValueError` unless it is 1 to `MAX_WORKERS`."""
    number = int(text) if re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) else 0
    if not 1 <= number <= MAX_WORKERS:
        raise ValueError(f"expected a number from 1 to {MAX_WORKERS}")
    return number


def read_rate_limit(text: str) -> RateLimit:
    """Return the limit of `30/s`, `30/s:100` (with its burst) or `0` (off)."""
    if text == "0":
        return RateLimit(0.0, 0)
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?)/s(?::([0-9]{1,6}))?", text, re.ASCII)
    if match is None or float(match[1]) == 0 or match[2] == "0":
        raise ValueError(
            "expected a rate such as 30/s, one with its burst (30/s:100), or 0 for off"
        )
    return RateLimit(float(match[1]), int(match[2]) if match[2] else DEFAULT_RATE_LIMIT.burst)
