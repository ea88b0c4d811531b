"""A record as a line of JSON: its columns, its `data` and `login`, `prev` and `hash` in hex.

So an export of the log and an archive of it are one format. The body is left out unless it is
spelled in another way than ours. An archive may have lines of certificates after its records.
"""

from __future__ import annotations

import json
from typing import Any, Final

from reconciler.core.audit.chain import Record
from reconciler.core.canonical_json import canonical_json
from reconciler.core.model.times import parse_rfc3339, rfc3339

CERTIFICATE: Final = "certificate"
_CERTIFICATE: Final = f'{{"{CERTIFICATE}": '
_OF_BODY: Final = ("seq", "at", "kind", "actor", "login", "subject", "data")


def readable_body(body: str) -> dict[str, Any]:
    """Return the document of a body, which earlier versions took with data that no reader takes."""
    try:
        document: dict[str, Any] = json.loads(body)
    except (ValueError, RecursionError):
        return {"data": {}}
    return document


def document_of(record: Record) -> dict[str, Any]:
    """Return the document of a record: its body, and what makes it a link of the chain."""
    body = readable_body(record.body)
    login = {"login": body["login"]} if "login" in body else {}  # of earlier versions without
    return {
        "seq": record.seq,
        "at": rfc3339(record.at),
        "kind": record.kind,
        "actor": record.actor,
        "subject": record.subject,
        "data": body["data"],
        **login,
        "prev": record.prev.hex(),
        "hash": record.hash.hex(),
    }


def line_of(record: Record) -> bytes:
    """Return the line of a record, from which `record_of` reads the same."""
    document = document_of(record)
    if _body_of(document) != record.body:
        document["body"] = record.body
    return f"{json.dumps(document)}\n".encode()


def certificate_line(document: dict[str, Any]) -> bytes:
    """Return the line of a certificate that an archive has after its records."""
    return f"{json.dumps({CERTIFICATE: document})}\n".encode()


def is_certificate(line: str | bytes) -> bool:
    """Tell whether a line is of a certificate, and no record."""
    return line[: len(_CERTIFICATE)] in (_CERTIFICATE, _CERTIFICATE.encode())


def certificate_of(line: bytes) -> dict[str, Any]:
    """Return the certificate of a line; raise `ValueError` if it is none."""
    document = json.loads(line)[CERTIFICATE]
    if not isinstance(document, dict) or not all(
        isinstance(each, str) for each in document.values()
    ):
        raise ValueError("it is not a certificate")
    return document


def record_of(line: str | bytes) -> Record:
    """Return the record of a line; raise `ValueError` if it is none."""
    try:
        document: dict[str, Any] = json.loads(line)
        body = document.get("body")
        return Record(
            seq=int(document["seq"]),
            at=parse_rfc3339(document["at"]),
            kind=str(document["kind"]),
            actor=str(document["actor"]),
            subject=str(document["subject"]),
            body=body if isinstance(body, str) else _body_of(document),
            prev=_digest(document["prev"]),
            hash=_digest(document["hash"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("it is not a record of an audit log") from None


def _body_of(document: dict[str, Any]) -> str:
    """Return the body in its usual spelling; the hash tells whether it is spelled so."""
    return canonical_json({name: document[name] for name in _OF_BODY if name in document})


def _digest(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("sha256:"))
