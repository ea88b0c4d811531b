"""Why PostgreSQL could not be reached: each cause once, and whether a retry can help."""

from __future__ import annotations

import os
import re
import select
import time
from typing import Final

import psycopg
from psycopg import pq

from reconciler.core.model.text import printable
from reconciler.errors import MosaicError, NeedsEdit, Retry
from reconciler.store.connection.conninfo import VARIABLE, Address, parse_conninfo, place
from reconciler.store.connection.probe import libpq_variables

DIAGNOSIS_S: Final = 5.0  # longest attempt to learn the SQLSTATE of a refusal
MAX_STATES: Final = 64
_states: Final[dict[str, str]] = {}  # of each message that a server refused with

_ATTEMPT: Final = re.compile(
    r'connection to server (?:at "(?P<host>[^"]*)"(?: \([^)]*\))?, port (?P<port>\d+)'
    r'|on socket "(?P<socket>[^"]*)") failed: (?P<reason>.*)'
)
_SEVERITY: Final = re.compile(r"(?P<severity>\S{1,40}):  (?P<message>.*)")
_PREFIX: Final = re.compile(r"^(?:- host: .*?: )?connection (?:is bad|failed): ")
_ERROR_RESPONSE: Final = re.compile(
    rb'^B\t\d+\tErrorResponse\t S ".*?"(?: V "[A-Z]+")? C "([0-9A-Z]{5})"', re.MULTILINE
)

# Errors of libpq before the server answers that no retry corrects.
_OWN_FAULT: Final = re.compile(
    r"server does not support SSL|server does not support GSS|certificate|private key"
    r"|invalid |bad value |Servname |definition of service|service file|weak sslmode"
    r"|no password supplied|could not match|unrecognized "
    r"|authentication method requirement|channel binding|root\.crt|GSSAPI|out of range"
    # pgbouncer, whose every refusal has the SQLSTATE 08P01
    r"|unsupported startup parameter|no such (?:database|user)|\w+ authentication failed"
    r"|SSL error: (?!unexpected eof)"
)
# Classes of SQLSTATE in which a later attempt may succeed (PostgreSQL, appendix A): connection
# exception, insufficient resources, operator intervention, system error, internal error.
_RETRIED: Final = frozenset({"08", "53", "57", "58", "XX"})
_HINTS: Final = {
    "28P01": f"correct the password in {VARIABLE}, in its file or in the password file",
    "28000": f"correct user and host in {VARIABLE}, or let the server's pg_hba.conf admit them",
    "3D000": "make it (createdb -E UTF8 -T template0 NAME), or correct its name",
    "53300": "end other connections, or raise max_connections of the server or the role",
    "57P03": "wait until the server is up",
}


def connection_failure(error: Exception, address: Address, conninfo: str) -> MosaicError:
    """Return the error of a connection that libpq could not make, with every cause once."""
    causes = _causes(str(error))
    if not address.hosts and isinstance(error, psycopg.Error) and error.pgconn is not None:
        address = _resolved(error.pgconn) or address
    refused = _SEVERITY.match(causes[-1][1])
    state = _sqlstate(refused["message"], conninfo) if refused is not None else None
    reasons = [(host, _without_severity(reason)) for host, reason in causes]
    if len({reason for _, reason in reasons}) == 1:
        text = reasons[0][1]
    else:
        text = "; ".join(f"{host}: {reason}" if host else reason for host, reason in reasons)
    suffix = f" (SQLSTATE {state})" if state else ""
    message = f"{address} cannot be reached: {printable(text, 1000)}{suffix}"
    mends_itself = state[:2] in _RETRIED if state else not _OWN_FAULT.search(causes[-1][1])
    if mends_itself and not _OWN_FAULT.match(reasons[-1][1]):
        hint = _HINTS.get(state or "", f"check {VARIABLE}, and that PostgreSQL runs there")
        return Retry("database_unavailable", message, hint=hint + _others(conninfo))
    hint = _HINTS.get(state or "", _hint(text))
    return NeedsEdit("config_invalid", message, hint=hint + _others(conninfo))


def _resolved(connection: pq.abc.PGconn) -> Address | None:
    """Return what libpq made of a service, None where it does not know it."""
    named = (connection.db, connection.host, connection.port)
    database, host, port = (each.decode(errors="replace") for each in named)
    return Address(printable(database, 255), (place(host, port),)) if database else None


def _others(conninfo: str) -> str:
    """Return what a hint adds where the environment has a say beside the text."""
    given = parse_conninfo(conninfo)
    listed = {
        option.envvar.decode(): option.keyword.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar is not None
    }
    names = [
        name for name in libpq_variables() if os.environ.get(name) and listed.get(name) not in given
    ]
    return f"; the environment sets {', '.join(names)} too" if names else ""


def _hint(reason: str) -> str:
    if "unsupported startup parameter" in reason:
        return "take it out, or add it to the ignore_startup_parameters of pgbouncer"
    if "SSL" in reason or "certificate" in reason:
        return f"see sslmode and sslrootcert of {VARIABLE}, and what the server offers"
    return f"correct {VARIABLE}"


def _causes(text: str) -> list[tuple[str, str]]:
    """Return place and reason of each attempt, in order, each pair once. DETAIL lines are left out.

    The text is psycopg's: libpq's message of the last attempt, and where there were several, a list
    of all of them.
    """
    first, several, listed = text.partition("Multiple connection attempts failed.")
    causes: list[tuple[str, str]] = []
    for line in (listed if several else first).splitlines():
        at_attempt = _ATTEMPT.search(line)
        if at_attempt is not None:
            port = f" port {at_attempt['port']}" if at_attempt["port"] else ""
            host = f"{at_attempt['host'] or at_attempt['socket']}{port}"
            causes.append((host, at_attempt["reason"]))
        elif line.startswith("password retrieved from file") and causes:
            causes[-1] = (causes[-1][0], f"{causes[-1][1]} ({line})")
        elif _PREFIX.match(line) or not causes:
            causes.append(("", _PREFIX.sub("", line)))
    named = [cause for cause in causes if cause[1].strip() and not cause[1].startswith(" All fail")]
    return list(dict.fromkeys(named)) or [("", "libpq gives no reason")]


def _without_severity(reason: str) -> str:
    by_server = _SEVERITY.match(reason)
    return by_server["message"] if by_server is not None else reason


def _sqlstate(message: str, conninfo: str) -> str | None:
    """Return the SQLSTATE of a refusal; the same message is looked up once.

    libpq does not hand it out, and the message may be in any language.
    """
    state = _states.get(message) or _ask_sqlstate(conninfo)
    if state is not None:
        if len(_states) >= MAX_STATES:
            _states.clear()
        _states[message] = state
    return state


def _ask_sqlstate(conninfo: str) -> str | None:
    """Connect once more, and read the refusal in libpq's trace of its protocol."""
    deadline = time.monotonic() + DIAGNOSIS_S
    with os.fdopen(os.memfd_create("libpq-trace"), "rb") as trace:
        connection = pq.PGconn.connect_start(conninfo.encode())
        try:
            if connection.status == pq.ConnStatus.BAD:
                return None
            connection.trace(trace.fileno())
            connection.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
            while (left := deadline - time.monotonic()) > 0:
                status = connection.connect_poll()
                if status == pq.PollingStatus.READING:
                    select.select([connection.socket], [], [], left)
                elif status == pq.PollingStatus.WRITING:
                    select.select([], [connection.socket], [], left)
                else:
                    break
            connection.untrace()
        finally:
            connection.finish()
        trace.seek(0)
        states = _ERROR_RESPONSE.findall(trace.read())
    return states[-1].decode() if states else None
