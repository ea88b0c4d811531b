"""The invitation: one URL whose fragment carries the token and the pin of the CA's root.

    https://host/federation/v1/enroll#token=mosf1_…,ca=sha256:…

A fragment is never sent to a server or a proxy (RFC 3986 3.5); a comma, because a shell cuts at
`&`. Without a pin an invitation is refused: nothing else tells the right gateway from a wrong one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.core.issuance.tokens import Token, parse_token
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

API_PREFIX: Final = "/federation/v1"
ENROLL_PATH: Final = f"{API_PREFIX}/enroll"

_HINT: Final = (
    "paste the whole invitation, from https:// to its end, in quotes; to read it from a file: "
    "`mosaic federation peer add - < FILE`"
)
_WRAPPERS: Final = ('""', "''", "``", "<>", "\u201c\u201d", "\u2018\u2019")
_PIN: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a peer is handed: where to enroll, with which token, and the root to trust."""

    base_url: str
    token: Token
    pin: str

    def url(self) -> str:
        """Return the invitation as one URL. It holds the token: print it once, log it never."""
        return f"{self.base_url}{ENROLL_PATH}#token={self.token.spelled()},ca={self.pin}"


def parse_invitation(presented: str) -> Invitation:
    """Return the invitation that `presented` spells.

    Raises:
        NeedsEdit: `invitation_invalid`, saying which part is wrong; never with the token in it.
    """
    text = _unwrapped(presented)
    if not text:
        raise _wrong("the invitation is empty")
    if not text.isprintable() or " " in text:  # urlsplit would drop tabs and newlines in silence
        raise _wrong("the invitation has a space, a line break or a control character in it")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _wrong("the invitation is not a URL") from None
    if parts.scheme != "https" or not host:
        raise _wrong("the invitation does not begin with https:// and the name of a host")
    if parts.username is not None or parts.password is not None or parts.query:
        raise _wrong("the invitation's URL carries a user, a password or a query")
    if not parts.path.endswith(ENROLL_PATH):
        raise _wrong(f"the invitation's path does not end with {ENROLL_PATH}")
    given = _fragment(parts)
    token = parse_token(given["token"])
    if token is None:
        raise _wrong("the token in the invitation is mistyped or cut: its sum does not match")
    if not _PIN.fullmatch(given["ca"]):
        raise _wrong("the pin in the invitation is not sha256: and 64 lower-case hex digits")
    base = f"https://{parts.netloc}{parts.path.removesuffix(ENROLL_PATH)}"
    return Invitation(base, token, given["ca"])


def _unwrapped(presented: str) -> str:
    """Return the text without what an editor, a mail or a shell put around it.

    That is a byte order mark, white space, and one pair of quotes or angle brackets.
    """
    text = presented.strip().removeprefix("\ufeff").strip()
    if len(text) > 1 and text[0] + text[-1] in _WRAPPERS:
        text = text[1:-1].strip()
    return text


def _fragment(parts: SplitResult) -> dict[str, str]:
    given: dict[str, str] = {}
    for item in parts.fragment.split(",") if parts.fragment else ():
        name, _, value = item.partition("=")
        if name in given or name not in ("token", "ca"):
            raise _wrong("the invitation's fragment is not token=…,ca=sha256:…")
        given[name] = value
    if "token" not in given:
        raise _wrong("the invitation has no token: the part after # is missing or cut")
    if "ca" not in given:
        raise _wrong("the invitation has no pin (ca=sha256:…), and is refused without one")
    return given


def _wrong(message: str) -> NeedsEdit:
    return NeedsEdit("invitation_invalid", message, hint=_HINT)
