"""The text that says how PostgreSQL is reached: parsed by libpq, shown without its secrets."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from reconciler.core.model.text import printable
from reconciler.core.spelling import nearest
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    ConninfoSource = str | Callable[[], str]  # what libpq parses, or what returns it as it is now

VARIABLE: Final = "MOSAIC_DATABASE_URL"
VERIFY_FULL: Final = "verify-full"  # what libpq makes of sslrootcert=system
BUNDLES: Final = (  # of Debian, of Red Hat, of Alpine
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
CONNECT_TIMEOUT_S: Final = 5  # for each host, unless the text or PGCONNECT_TIMEOUT says otherwise
ESCAPING: Final = "a password that has one of @ : / ? # % must be percent-encoded (@ is %40)"
_EXPECTED: Final = "expected postgresql://user@host/name, or libpq's form host=… dbname=…"
_SECRET: Final = re.compile(r"password|secret")
_UNKNOWN: Final = re.compile(
    r'invalid (?:URI query parameter: |connection option )"([a-z_]{1,40})"', re.ASCII
)


@dataclass(frozen=True, slots=True)
class Address:
    """Which database a text means, as it may be shown: `hosts` are `host port 5432` or a folder."""

    database: str
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        return f"the database {self.database}" + (f" on {', '.join(self.hosts)}" * bool(self.hosts))


HIDDEN: Final = Address(f"of {VARIABLE}", ())


def parse_conninfo(text: str) -> dict[str, str]:
    """Return the parameters of a connection text, a URL or keywords and values, as libpq reads it.

    Raises:
        NeedsEdit: `config_invalid`, without any part of the text that could be a secret.
    """
    try:
        parsed = conninfo_to_dict(text)
    except psycopg.Error as error:
        unreadable = _unreadable(text, str(error))
    else:
        return {keyword: str(value) for keyword, value in parsed.items()}
    raise unreadable  # outside of `except`: libpq quotes the text, and a traceback shows its error


def with_password(text: str, password: str) -> str:
    """Return the connection text with a password.

    Raises:
        NeedsEdit: `config_invalid`: it has one already, or libpq cannot read it.
    """
    if "password" in parse_conninfo(text):
        raise NeedsEdit(
            "config_invalid",
            f"{VARIABLE} has a password, and MOSAIC_DATABASE_PASSWORD_COMMAND is set too",
            hint="take the password out of the URL, or unset the command",
        )
    return make_conninfo(text, password=password)


def with_login(text: str, login: str, password: str) -> str:
    """Return the connection text of another login, in libpq's keywords and values."""
    return make_conninfo("", **parse_conninfo(text) | {"user": login, "password": password})


def session_conninfo(text: str, application_name: str) -> str:
    """Return what libpq is given: the text, with what our sessions are and need.

    The encoding is a parameter of the start, so that an encoding of the role, the database or
    PGCLIENTENCODING is never in force. A transaction-pooling proxy takes both parameters.
    """
    parameters = parse_conninfo(text) | {
        "application_name": application_name[:63],
        "client_encoding": "UTF8",
    }
    if "connect_timeout" not in parameters and "PGCONNECT_TIMEOUT" not in os.environ:
        parameters["connect_timeout"] = str(CONNECT_TIMEOUT_S)
    return make_conninfo("", **parameters | _system_roots(parameters))


def address_of(text: str) -> Address:
    """Return which database the text means, as far as it is known without a connection.

    Raises:
        NeedsEdit: `config_invalid`: libpq cannot read it.
    """
    given = parse_conninfo(text)
    if is_mangled(text):
        return HIDDEN
    parameters = _defaults() | given
    if service := parameters.get("service"):
        return Address(f"of the service {printable(service, 255)}", ())
    names = (parameters.get("host") or parameters.get("hostaddr") or "").split(",")
    ports = parameters.get("port", "").split(",")
    ports *= len(names) if len(ports) == 1 else 1
    hosts = tuple(
        place(name, port)
        for name, port in zip(names, ports, strict=False)
        if name or len(names) > 1
    )
    database = parameters.get("dbname") or parameters.get("user") or "?"
    return Address(printable(database, 255), hosts or ("its local socket",))


def is_mangled(text: str) -> bool:
    """Tell whether a URL was split at a character of its password, so that a part shows elsewhere.

    `user:pa/ss@host` is the host `user` with the port `pa` to libpq, and `user:pa@ss@host` has the
    host `ss@host`.
    """
    _, slashes, rest = text.partition("://")
    authority, _, path = rest.partition("/")
    return bool(slashes) and (authority.count("@") > 1 or "@" in path.partition("?")[0])


def place(name: str, port: str) -> str:
    """Return a host as it is shown: a name or an address with its port, or a folder."""
    shown = printable(name, 255) or "its local socket"
    remote = name and not name.startswith(("/", "@"))  # @: an abstract socket
    return f"{shown} port {printable(port, 20)}" if port and remote else shown


def _defaults() -> dict[str, str]:
    """Return what the environment says, and libpq's own defaults."""
    return {
        option.keyword.decode(): option.val.decode(errors="replace")
        for option in pq.Conninfo.get_defaults()
        if option.val
    }


def _system_roots(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return where the roots of this machine are, for `sslrootcert=system`.

    The OpenSSL in psycopg's wheel looks into a folder of the machine that built it.
    """
    mode = parameters.get("sslmode") or os.environ.get("PGSSLMODE") or VERIFY_FULL
    if (_defaults() | dict(parameters)).get("sslrootcert") != "system" or mode != VERIFY_FULL:
        return {}  # libpq refuses any other mode by name
    bundles = (ssl.get_default_verify_paths().cafile, *BUNDLES)
    roots = next((each for each in bundles if each and Path(each).is_file()), None)
    if roots is None or "SSL_CERT_FILE" in os.environ:
        return {}
    return {"sslrootcert": roots, "sslmode": VERIFY_FULL}


def _unreadable(text: str, reason: str) -> NeedsEdit:
    if text[:1] in ("'", '"'):  # env files of Docker keep them, a shell does not
        return _invalid("it begins with a quotation mark", "write it without quotes around it")
    scheme = re.match(r"((?:jdbc:)?[a-zA-Z][a-zA-Z0-9+]{0,30})://", text, re.ASCII)
    if scheme is not None and scheme[1] not in ("postgresql", "postgres"):
        return _invalid(f"got {scheme[1]}://…, {_EXPECTED}", "correct it")
    unknown = _UNKNOWN.match(reason)
    if unknown is not None and _may_be_shown(unknown[1], text):
        keywords = [option.keyword.decode() for option in pq.Conninfo.get_defaults()]
        close = nearest(unknown[1], keywords, cutoff=0.6)
        hint = f"did you mean {close!r}?" if close else "take it out: libpq has no such option"
        return _invalid(f"libpq has no option {unknown[1]!r}", hint)
    # up to the first quotation: what is quoted may be a piece of the password
    fact = re.match(r'(?:[^"]|"[=\]]")*', reason)
    shown = fact[0].strip(" :\n") if fact is not None else ""
    return _invalid(f"libpq cannot read it ({shown}): {_EXPECTED}", ESCAPING)


def _may_be_shown(name: str, text: str) -> bool:
    """Tell whether an unknown option is one, and not what follows an `&` or a blank in a secret."""
    before, _, after = text.partition(f"{name}=")
    return not _SECRET.search(before) and "@" not in after


def _invalid(message: str, hint: str) -> NeedsEdit:
    return NeedsEdit("config_invalid", f"{VARIABLE}: {message}", hint=hint)
