"""Where a gateway's certificates and its revocation list (CRL) say that the list is, in a move.

A certificate names the URLs of its list; a list names its own, and OpenSSL refuses a certificate
that does not name the list's. So a gateway moves in steps, after each of which every live
certificate agrees with every list that is still valid:

    (1) new certificates name the new URL and the list's, which is still the old one
    (2) once every live certificate names the new URL, the list does too
    (3) once no list with the old URL is valid any longer, new certificates name the new one alone
    (4) a URL is forgotten once no live certificate names it

Moving again, or back, changes where (1) goes to, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.issuance.invitation import API_PREFIX
from reconciler.core.model.origin import read_origin
from reconciler.core.model.spec import MAX_LIFETIME
from reconciler.core.model.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# `crl.cacheDuration` of the `ca.json` that we write, and time for step-ca to be started on it
LIST_LIFE: Final = timedelta(hours=25)


@dataclass(frozen=True, slots=True)
class CrlLocations:
    """What a CA is configured with.

    `list_url` is where the list says that it is, `certificate_urls` what new certificates name, the
    gateway's own first, and `served_urls` all that live ones may name. The list had the URL
    `list_before` until `list_since`; it does not move before `not_before`, because certificates
    that are not stored (the endpoint's own) may name the old URL alone until then.
    """

    oid_arc: str
    list_url: str
    certificate_urls: tuple[str, ...]
    served_urls: tuple[str, ...]
    list_before: str | None = None
    list_since: datetime | None = None
    not_before: datetime | None = None

    @property
    def public_url(self) -> str:
        """Where the gateway is."""
        return origin_of(self.certificate_urls[0])

    @property
    def former_urls(self) -> tuple[str, ...]:
        """Where peers may still look for it."""
        origins = dict.fromkeys(map(origin_of, self.served_urls))
        return tuple(origin for origin in origins if origin != self.public_url)

    @property
    def moving(self) -> bool:
        """Whether certificates may name another URL than the gateway's own."""
        return self.served_urls != self.certificate_urls[:1]


def origin_of(crl_url: str) -> str:
    """Return the origin of a list's URL, as settings spell it."""
    origin = crl_url.partition(API_PREFIX)[0]
    try:
        return read_origin(origin)
    except ValueError:  # of a CA that is not ours
        return origin


def crl_url_at(origin: str, issuer_key_id: str) -> str:
    """Return the URL of an issuer's revocation list."""
    return f"{origin}{API_PREFIX}/ca/crl/{issuer_key_id}"


def read_crl_locations(data: Mapping[str, Any]) -> CrlLocations:
    """Return the locations in a provisioner's `templateData`; raise `ValueError` without any."""
    arc, list_url = data.get("oidArc"), data.get("crlUrl")
    if not isinstance(arc, str) or not isinstance(list_url, str):
        message = "its templateData has no oidArc and crlUrl"
        raise ValueError(message)  # noqa: TRY004  # it is what somebody wrote
    named = _texts(data, "crlUrls") or (list_url,)
    before = data.get("crlUrlBefore")
    return CrlLocations(
        oid_arc=arc,
        list_url=list_url,
        certificate_urls=named,
        served_urls=_unique((*named, list_url, *_texts(data, "crlUrlsServed"))),
        list_before=before if isinstance(before, str) else None,
        list_since=_time(data, "crlUrlSince"),
        not_before=_time(data, "crlUrlNotBefore"),
    )


def template_data(locations: CrlLocations) -> dict[str, Any]:
    """Return the `templateData` that `read_crl_locations` reads."""
    data: dict[str, Any] = {
        "oidArc": locations.oid_arc,
        "crlUrl": locations.list_url,
        "crlUrls": list(locations.certificate_urls),
    }
    if locations.moving:
        data["crlUrlsServed"] = list(locations.served_urls)
        data["crlUrlBefore"] = locations.list_before
        data["crlUrlSince"] = rfc3339(locations.list_since) if locations.list_since else None
        data["crlUrlNotBefore"] = rfc3339(locations.not_before) if locations.not_before else None
    return data


def start_move(locations: CrlLocations, url: str, not_before: datetime) -> CrlLocations:
    """Return the locations of a gateway that begins to move to `url`: step (1)."""
    named = _unique((url, locations.list_url, *filter(None, (locations.list_before,))))
    return replace(
        locations,
        certificate_urls=named,
        served_urls=_unique((*named, *locations.served_urls)),
        not_before=max(filter(None, (locations.not_before, not_before))),
    )


@dataclass(frozen=True, slots=True)
class CrlReference:
    """Which URLs of its list a live certificate names, and when it expires."""

    crl_urls: tuple[str, ...]
    not_after: datetime


def advance_move(
    locations: CrlLocations, live: Collection[CrlReference], now: datetime
) -> CrlLocations:
    """Return the locations at `now`, when the live certificates name `live`: steps (2) to (4)."""
    target = locations.certificate_urls[0]
    after = locations
    if after.list_since is not None and now >= after.list_since + LIST_LIFE:  # (3)
        after = replace(after, list_before=None, list_since=None)
    if after.not_before is not None and now >= after.not_before:
        after = replace(after, not_before=None)
    free = after.list_before is None and after.not_before is None
    if after.list_url != target and free and all(target in each.crl_urls for each in live):  # (2)
        after = replace(after, list_url=target, list_before=after.list_url, list_since=now)
    named = _unique((target, after.list_url, *filter(None, (after.list_before,))))
    carried = {url for each in live for url in each.crl_urls}
    served = _unique((*named, *(url for url in after.served_urls if url in carried)))  # (4)
    return replace(after, certificate_urls=named, served_urls=served)


def end_of_move(locations: CrlLocations, live: Collection[CrlReference], now: datetime) -> datetime:
    """Return when the move ends at the latest: no certificate names a former URL any longer.

    It is counted from now on, so a gateway that does not run in the meantime takes longer.
    """
    target = locations.certificate_urls[0]
    if len(locations.certificate_urls) == 1:  # after (3)
        return max((c.not_after for c in live if set(c.crl_urls) != {target}), default=now)
    listed = locations.list_since or now
    if locations.list_url != target:  # (2) waits for all of these
        waits = (c.not_after for c in live if target not in c.crl_urls)
        since = (locations.list_since + LIST_LIFE,) if locations.list_since is not None else ()
        listed = max((now, *waits, *since, *filter(None, (locations.not_before,))))
    return listed + LIST_LIFE + MAX_LIFETIME


def names_agree(named: Collection[str], expected: Collection[str]) -> bool:
    """Tell whether a certificate names URLs of its list, and none but the expected ones."""
    return bool(named) and {_spelled(url) for url in named} <= set(expected)


def _spelled(url: str) -> str:
    origin, prefix, rest = url.partition(API_PREFIX)
    return f"{origin_of(origin)}{prefix}{rest}"


def _unique(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(urls))


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = data.get(name) or ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name} of its templateData is not a list of texts")
    return tuple(value)


def _time(data: Mapping[str, Any], name: str) -> datetime | None:
    value = data.get(name)
    return parse_rfc3339(value) if isinstance(value, str) else None
