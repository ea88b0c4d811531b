"""The patterns of a manifest's texts, as regular expressions that a JSON Schema can have."""

from __future__ import annotations

from typing import Final

from reconciler.core.model.spec import NAME_PATTERN, SUBJECT_PATTERN

TEXT_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]{1,200}$"
LABEL_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]{0,253}$"
_PORT: Final = (
    "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
)
HTTPS_PATTERN: Final = r"^https://[^\s/?#@\x00-\x1f\x7f-\x9f]+(/[^\s?#\x00-\x1f\x7f-\x9f]*)?$"
_H16: Final = "[0-9A-Fa-f]{1,4}"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LS32: Final = rf"({_H16}:{_H16}|({_OCTET}\.){{3}}{_OCTET})"
_IPV6: Final = "|".join(  # RFC 3986 3.2.2
    [
        f"({_H16}:){{6}}{_LS32}",
        f"::({_H16}:){{5}}{_LS32}",
        *(f"(({_H16}:){{0,{n}}}{_H16})?::({_H16}:){{{4 - n}}}{_LS32}" for n in range(5)),
        f"(({_H16}:){{0,5}}{_H16})?::{_H16}",
        f"(({_H16}:){{0,6}}{_H16})?::",
    ]
)
ENDPOINT_PATTERN: Final = (  # with a host and a port that can be
    rf"^https://(\[({_IPV6})\]|[^\s/?#@:\[\]\x00-\x1f\x7f-\x9f]+)"
    rf"(:({_PORT}))?(/[^\s?#\x00-\x1f\x7f-\x9f]*)?$"
)
# RFC 3339 5.6 with the days that each month has, in the years 2000 to 9000
EXPIRES_PATTERN: Final = (
    "^(([2-8][0-9]{3}|9000)-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    "|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    "|([2-8][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[357][26])00)-02-29)"
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
# 5m to 7d: the largest unit within these bounds, and of each smaller one less than makes the next
LIFETIME_PATTERN: Final = (
    "^(7d|[1-6]d((1?[0-9]|2[0-3])h)?([1-5]?[0-9]m)?([1-5]?[0-9]s)?"
    "|168h|([1-9]|[1-9][0-9]|1[0-5][0-9]|16[0-7])h([1-5]?[0-9]m)?([1-5]?[0-9]s)?"
    "|10080m|([5-9]|[1-9][0-9]{1,3}|100[0-7][0-9])m([1-5]?[0-9]s)?"
    "|([3-9][0-9]{2}|[1-9][0-9]{3,4}|[1-5][0-9]{5}|60[0-3][0-9]{3}|604[0-7][0-9]{2}|604800)s)$"
)

PATTERN_MEANINGS: Final[dict[str, str]] = {
    NAME_PATTERN: "a DNS label: 1 to 63 of a-z, 0-9 and '-', not at the ends",
    SUBJECT_PATTERN: "1 to 128 of A-Z, a-z, 0-9, '.', '_', '@' and '-'",
    TEXT_PATTERN: "1 to 200 characters without control characters",
    LABEL_PATTERN: "up to 253 characters without control characters",
    HTTPS_PATTERN: "an https:// URL with a host, and no user, query or fragment",
}
