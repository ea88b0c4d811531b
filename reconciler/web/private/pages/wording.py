"""A scope and the steps of an issuance in plain words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.scope import scope_from_json
from reconciler.core.model.text import counted
from reconciler.core.model.times import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.core.model.scope import Resource

    Data = Mapping[str, Any]
    Record = Mapping[str, Any]


def scope_sentences(scope: dict[str, Any], subject_user_id: str) -> list[str]:
    """Return what a scope lets a peer do, a sentence for each resource and one for the rows."""
    parsed = scope_from_json(scope)
    rows = f"One query returns at most {counted(parsed.max_rows_per_query, 'row')}."
    return [*(_sentence(each, subject_user_id) for each in parsed.resources), rows]


def _sentence(resource: Resource, subject_user_id: str) -> str:
    if resource.lets_nothing_through():
        return f"No {resource.type}: the filter lets nothing through."
    verbs = " and ".join(sorted(resource.verbs, reverse=True))
    whose = []
    if resource.teams is None:
        whose.append("of every team")
    elif resource.teams:
        noun = "team" if len(resource.teams) == 1 else "teams"
        whose.append(f"of the {noun} {', '.join(sorted(resource.teams))}")
    if resource.personal:
        whose.append(f"of {subject_user_id} personally")
    return f"May {verbs} {resource.type} {' and '.join(whose)}."


def _minted(data: Data) -> str:
    life = format_duration(timedelta(seconds=data["lifeS"]))
    return f"An invitation with the token {data['token']} was made, valid for {life}."


def _begun(data: Data) -> str:
    by = f"with the token {data['token']}" if data.get("token") else f"to renew {data['renews']}"
    return f"The peer requested a certificate {by}, from {data['address']}."


def _issued(data: Data) -> str:
    superseded = ", ".join(data.get("supersedes") or ())
    also = f" It supersedes {superseded}." if superseded else ""
    return f"The CA signed it, valid until {data['notAfter']}.{also}"


def _given_up(data: Data) -> str:
    return f"No certificate was issued: {data['reason']}."


STEPS: Final[Mapping[str, Callable[[Data], str]]] = {
    "token.minted": _minted,
    "issuance.begun": _begun,
    "certificate.issued": _issued,
    "issuance.given_up": _given_up,
    "certificate.revoked_at_ca": lambda _: "The CA has revoked it.",
    "certificate.requeued": lambda data: f"It is to be revoked at the CA again: {data['reason']}.",
    "certificate.revoked_elsewhere": lambda _: "Somebody revoked it at the CA, not here.",
    "grant.suspended": lambda _: "The grant was suspended.",
    "grant.resumed": lambda _: "The grant was resumed.",
    "grant.revoked": lambda data: f"The grant was revoked: {data['reason']}.",
    "grant.expired": lambda _: "The grant expired.",
}
OF_THE_GRANT: Final = ("grant.suspended", "grant.resumed", "grant.revoked", "grant.expired")


def issuance_steps(serial: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the steps of an issuance, from the records of its grant, oldest first.

    What happened to the grant between its first step and its last is a step too.
    """
    token = next((r["data"].get("token") for r in records if _begins(r, serial)), None)
    own = {record["seq"] for record in records if _is_of(record, serial, token)}
    if not own:
        return []
    first, last = min(own), max(own)
    return [
        {
            "seq": record["seq"],
            "at": record["at"],
            "kind": record["kind"],
            "actor": record["actor"],
            "text": _text(record),
        }
        for record in records
        if record["seq"] in own or (record["kind"] in OF_THE_GRANT and first < record["seq"] < last)
    ]


def _begins(record: Record, serial: str) -> bool:
    begun: bool = record["kind"] == "issuance.begun" and record["data"].get("serial") == serial
    return begun


def _is_of(record: Record, serial: str, token: str | None) -> bool:
    if record["kind"] == "token.minted":
        return token is not None and record["data"].get("token") == token
    names_it: bool = record["data"].get("serial") == serial
    return record["kind"] in STEPS and names_it


def _text(record: Record) -> str:
    try:
        return STEPS[record["kind"]](record["data"])
    # a record of an earlier version, which lacks a detail, or one that is not of its kind
    except (KeyError, OverflowError, TypeError, ValueError):
        return str(record["kind"])
