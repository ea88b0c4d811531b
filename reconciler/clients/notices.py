"""HTTPS to the targets of notices: under the rules of outbound requests, one POST an attempt."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from reconciler.clients.http.channel import HttpsChannel
from reconciler.clients.http.connections import Timeouts
from reconciler.clients.http.destination import DIRECT, find
from reconciler.core.model.text import printable
from reconciler.core.notices.commit_status import is_same_status
from reconciler.core.notices.render import render
from reconciler.core.notices.signature import read_keys
from reconciler.core.notices.target import Secrets, Target
from reconciler.errors import MosaicError, NeedsEdit, Refused, Retry

if TYPE_CHECKING:
    from reconciler.clients.http.channel import Response
    from reconciler.core.setting_values import Network, ProxyRules

_log = logging.getLogger(__name__)

TIMEOUTS: Final = Timeouts(connect_s=5, read_s=10, total_s=15)
MAX_FILE: Final = 64 * 1024  # octets of a secret; a bundle of roots may be larger
MAX_SHOWN: Final = 200  # characters of an answer
MIN_SECRET: Final = 8  # characters of a part of a URL that may be one
_URL: Final = re.compile(r"https://[^\s/?#@\\]+(?:[/?][^\s#\\]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TargetAnswer:
    """What came back: whether the target took the notice, its status, and how its body begins."""

    taken: bool
    status: int
    excerpt: str
    retry_after: timedelta | None = None

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"it answered {self.status}" + (f": {self.excerpt}" if self.excerpt else "")


@dataclass(frozen=True, slots=True)
class NoticeSender:
    """How notices leave: to which addresses, and through which proxy."""

    allow_addresses: tuple[Network, ...]
    rules: ProxyRules = DIRECT

    async def send(self, target: Target, document: str) -> TargetAnswer | None:
        """Send a stored notice once; return what came back, or None where it says nothing to it.

        One that no part of a gateway has written so says nothing, and holds up none behind it.

        Raises:
            NeedsEdit: `config_invalid`: a file of the target.
            Retry: `target_unreachable`. Refused: `target_refused`: its address.
        """
        secrets = await asyncio.to_thread(read_files, target)
        tls = await asyncio.to_thread(tls_context, target)  # 20 ms: it reads all public roots
        try:
            request = render(target, secrets, document, datetime.now(UTC))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            _log.error("notices to %s: one that cannot be read is left out", target.name)
            return None
        if request is None:
            return None
        url = urlsplit(secrets.url)
        what = f"the target {target.name!r} at"
        try:
            origin = f"{url.scheme}://{url.netloc}"
            to = await find(origin, self.allow_addresses, TIMEOUTS, self.rules, what)
            async with HttpsChannel(to, tls, TIMEOUTS) as channel:
                response = await channel.post(request.path or "/", request.headers, request.body)
        except NeedsEdit as error:
            if error.code != "invitation_invalid":
                raise
            message = f"notify {target.name!r}: its URL does not name a host in its plain spelling"
            hint = "write it as https://host/path"
            raise NeedsEdit("config_invalid", message, hint=hint) from None
        except Retry as error:
            raise Retry("target_unreachable", error.message, hint=error.hint) from None
        except Refused as error:
            raise Refused("target_refused", error.message, hint=error.hint) from None
        return _answer(target, secrets, response)


def _answer(target: Target, secrets: Secrets, response: Response) -> TargetAnswer:
    status = response.status
    taken = 200 <= status < 300 or is_same_status(target, status, response.body)
    text = response.body.decode("utf-8", "replace")
    for secret in _texts(target, secrets):  # a target may send back what it was sent
        text = text.replace(secret, "…")
    return TargetAnswer(taken, status, printable(text.strip(), MAX_SHOWN), _retry_after(response))


def _texts(target: Target, secrets: Secrets) -> list[str]:
    url = urlsplit(secrets.url)
    texts = [secrets.token, secrets.url]
    if not target.kind.is_forge:  # the path of a chat's webhook is what it is known by
        resource = f"{url.path}?{url.query}"
        texts += [url.path, url.query, resource]
        # a part by itself too: JSON may write a slash as \/
        texts += [each for each in re.split(r"[/?&=]", resource) if len(each) >= MIN_SECRET]
    return sorted((each for each in texts if len(each) > 1), key=len, reverse=True)


def _retry_after(response: Response) -> timedelta | None:
    """Return `Retry-After` (RFC 9110 10.2.3): seconds, or a date by the server's own clock."""
    text = response.headers.get("retry-after", "")
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return timedelta(seconds=int(text))
    try:
        at = parsedate_to_datetime(text)
        now = response.server_time or datetime.now(UTC)
        return max(at.astimezone(UTC) - now, timedelta())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def tls_context(target: Target) -> ssl.SSLContext:
    """Return the context that verifies a target: by its own roots, or by those that are public.

    Raises:
        NeedsEdit: `config_invalid`: the file of the roots.
    """
    if target.ca_file is None:
        context = httpx.create_ssl_context(trust_env=False)
        context.load_default_certs()  # those that the system has besides
        return context
    try:
        return ssl.create_default_context(cafile=target.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = "it is not a PEM bundle" if isinstance(error, ssl.SSLError) else error.strerror
        raise _unusable(target, "ca_file", target.ca_file, reason) from None


def read_files(target: Target) -> Secrets:
    """Return what the files of a target hold.

    Raises:
        NeedsEdit: `config_invalid`, naming the target, the key and the file.
    """
    url, token = target.url, ""
    keys: tuple[bytes, ...] = ()
    if target.url_file is not None:
        url = _read(target, "url_file", target.url_file)
        if not is_url(url):
            raise _unusable(target, "url_file", target.url_file, "it holds no https URL")
    if target.secret_file is not None:
        text = _read(target, "secret_file", target.secret_file)
        try:
            keys = read_keys(text)
        except ValueError as error:
            raise _unusable(target, "secret_file", target.secret_file, str(error)) from None
    if target.token_file is not None:
        token = _read(target, "token_file", target.token_file)
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise _unusable(target, "token_file", target.token_file, "it holds no token")
    assert url is not None
    return Secrets(url, keys, token)


def _read(target: Target, key: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_FILE + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise _unusable(target, key, path, f"it cannot be read: {reason}") from None
    if not text or len(text) > MAX_FILE:
        raise _unusable(target, key, path, "it is empty" if not text else "it is too large")
    return text


HOW_TO_SIGN: Final = "make one: printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\""
_HINTS: Final = {
    "secret_file": f"a secret is whsec_ and 24 to 64 octets in base64; {HOW_TO_SIGN}",
    "token_file": "write the forge's access token into it, and nothing else",
    "url_file": "write the URL into it, and nothing else",
    "ca_file": "name a PEM file of the roots that the target's certificate leads to",
}


def _unusable(target: Target, key: str, path: str, reason: str | None) -> NeedsEdit:
    message = f"notify {target.name!r}: {key}: {path}: {reason}"
    return NeedsEdit("config_invalid", message, hint=_HINTS[key])


def describe(error: MosaicError) -> str:
    """Return an error as it is stored: the fact, and what to do."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def is_url(text: str) -> bool:
    """Tell whether a text is an https URL that a target can have."""
    try:
        url, split = httpx.URL(text), urlsplit(text)
        return _URL.fullmatch(text) is not None and bool(url.host) and split.port != 0
    except (httpx.InvalidURL, ValueError):
        return False
