"""Where a gateway's certificates say that it is, and how it moves.

A certificate names the places of its revocation list; a list names its own, and OpenSSL refuses a
certificate that does not name the list's. So a gateway moves in steps, each of which keeps every
live certificate and every list that is still valid in accord:

    (1) new certificates name the new place and the list's, which is the old one still
    (2) once every live certificate names the new place, the list does too
    (3) once no list of the old place is valid any longer, new certificates name the new one alone
    (4) a place is forgotten once no live certificate names it

Moving again, or back, changes where (1) goes to, and nothing else. A place is the URL of the list.
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
class Places:
    """What a CA is configured with.

    `list_url` is where the list says that it is, `certificate_urls` what new certificates name, the
    gateway's own place first, and `served_urls` all that live ones may name. A list of another
    place was made until `list_since`; the list does not move before `not_before`, because other
    certificates that nobody stores (the endpoint's own) may name the old place alone until then.
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
        """Whether certificates may name another place than the gateway's own."""
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


def read_places(data: Mapping[str, Any]) -> Places:
    """Return the places of a provisioner's `templateData`; raise `ValueError` where it has none."""
    arc, list_url = data.get("oidArc"), data.get("crlUrl")
    if not isinstance(arc, str) or not isinstance(list_url, str):
        message = "its templateData has no oidArc and crlUrl"
        raise ValueError(message)  # noqa: TRY004  # it is what somebody wrote
    named = _texts(data, "crlUrls") or (list_url,)
    before = data.get("crlUrlBefore")
    return Places(
        oid_arc=arc,
        list_url=list_url,
        certificate_urls=named,
        served_urls=_unique((*named, list_url, *_texts(data, "crlUrlsServed"))),
        list_before=before if isinstance(before, str) else None,
        list_since=_time(data, "crlUrlSince"),
        not_before=_time(data, "crlUrlNotBefore"),
    )


def template_data(places: Places) -> dict[str, Any]:
    """Return the `templateData` that `read_places` reads."""
    data: dict[str, Any] = {
        "oidArc": places.oid_arc,
        "crlUrl": places.list_url,
        "crlUrls": list(places.certificate_urls),
    }
    if places.moving:
        data["crlUrlsServed"] = list(places.served_urls)
        data["crlUrlBefore"] = places.list_before
        data["crlUrlSince"] = rfc3339(places.list_since) if places.list_since else None
        data["crlUrlNotBefore"] = rfc3339(places.not_before) if places.not_before else None
    return data


def moved(places: Places, url: str, not_before: datetime) -> Places:
    """Return the places of a gateway that begins to move to `url`: step (1)."""
    named = _unique((url, places.list_url, *filter(None, (places.list_before,))))
    return replace(
        places,
        certificate_urls=named,
        served_urls=_unique((*named, *places.served_urls)),
        not_before=max(filter(None, (places.not_before, not_before))),
    )


@dataclass(frozen=True, slots=True)
class LiveCertificate:
    """Where a certificate that has not ended says that its list is, and when it ends."""

    crl_urls: tuple[str, ...]
    not_after: datetime


def advanced(places: Places, live: Collection[LiveCertificate], now: datetime) -> Places:
    """Return the places at `now`, when the live certificates name `live`: steps (2) to (4)."""
    target = places.certificate_urls[0]
    made = places
    if made.list_since is not None and now >= made.list_since + LIST_LIFE:  # (3)
        made = replace(made, list_before=None, list_since=None)
    if made.not_before is not None and now >= made.not_before:
        made = replace(made, not_before=None)
    free = made.list_before is None and made.not_before is None
    if made.list_url != target and free and all(target in each.crl_urls for each in live):  # (2)
        made = replace(made, list_url=target, list_before=made.list_url, list_since=now)
    named = _unique((target, made.list_url, *filter(None, (made.list_before,))))
    carried = {url for each in live for url in each.crl_urls}
    served = _unique((*named, *(url for url in made.served_urls if url in carried)))  # (4)
    return replace(made, certificate_urls=named, served_urls=served)


def settled_by(places: Places, live: Collection[LiveCertificate], now: datetime) -> datetime:
    """Return until when certificates name a former place, at the latest; the move has ended then.

    It is counted from now on, so a gateway that does not run meanwhile takes longer.
    """
    target = places.certificate_urls[0]
    if len(places.certificate_urls) == 1:  # after (3)
        return max((c.not_after for c in live if set(c.crl_urls) != {target}), default=now)
    listed = places.list_since or now
    if places.list_url != target:  # (2) waits for all of these
        waits = (c.not_after for c in live if target not in c.crl_urls)
        since = (places.list_since + LIST_LIFE,) if places.list_since is not None else ()
        listed = max((now, *waits, *since, *filter(None, (places.not_before,))))
    return listed + LIST_LIFE + MAX_LIFETIME


def agree(named: Collection[str], expected: Collection[str]) -> bool:
    """Tell whether a certificate names its list where it may: somewhere, and nowhere else."""
    return bool(named) and {_spelled(url) for url in named} <= set(expected)


def _spelled(url: str) -> str:
    origin, prefix, rest = url.partition(API_PREFIX)
    return f"{origin_of(origin)}{prefix}{rest}"


def _unique(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(urls))


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = data.get(name) or ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name} of its templateData is no list of texts")
    return tuple(value)


def _time(data: Mapping[str, Any], name: str) -> datetime | None:
    value = data.get(name)
    return parse_rfc3339(value) if isinstance(value, str) else None
