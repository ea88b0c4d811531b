"""Serials and fingerprints of certificates in the spellings of people and tools; one form of ours.

The functions `federation_serial` and `federation_fingerprint` of the database read the same
spellings (migration 0004); a test holds the two to each other.
"""

from __future__ import annotations

import re
from typing import Final

from reconciler.core.model.text import shown

MAX_TEXT: Final = 200  # characters that are looked at
MAX_SERIAL_DIGITS: Final = 40  # RFC 5280 4.1.2.2: 20 octets
MAX_DECIMAL_DIGITS: Final = 49  # of 2^160
FINGERPRINT_DIGITS: Final = 64  # SHA-256

_SPACE: Final = " \t\r\n"
_DECIMAL: Final = re.compile(r"serial[ \t]*:[ \t\r\n]*([0-9]+)", re.ASCII)
_SERIAL_LABEL: Final = re.compile(r"(?:serial[ \t]*=|serial number[ \t]*[:=])[ \t\r\n]*", re.ASCII)
_BOTH_BASES: Final = re.compile(r"[0-9]+ \(0x([0-9a-f]+)\)", re.ASCII)  # as openssl prints
_FINGERPRINT_LABEL: Final = re.compile(
    r"sha-?256(?:[ \t]+fingerprint)?[ \t]*[:=][ \t\r\n]*", re.ASCII
)
_SEPARATORS: Final = str.maketrans("", "", f":{_SPACE}")
_HEX: Final = re.compile(r"[0-9a-f]+", re.ASCII)


def parse_serial(text: str) -> str:
    """Return a serial as lower-case hex without leading zeros.

    Taken are hex in either case, with leading zeros, `0x`, colons or spaces; what openssl prints
    (`serial=0AF0`, `Serial Number: 0a:f0`, `Serial Number: 2800 (0xaf0)`); and decimal after
    `serial:`.

    Raises:
        ValueError: it is none of these, zero, or longer than 20 octets (RFC 5280 4.1.2.2).
    """
    word = _lower(text)
    if decimal := _DECIMAL.fullmatch(word):
        if len(decimal[1].lstrip("0")) > MAX_DECIMAL_DIGITS:
            raise _no_serial(text)
        digits = format(int(decimal[1]), "x")
    else:
        word = _SERIAL_LABEL.sub("", word, count=1) if _SERIAL_LABEL.match(word) else word
        both = _BOTH_BASES.fullmatch(word)
        digits = (both[1] if both else word.removeprefix("0x")).translate(_SEPARATORS)
    stripped = digits.lstrip("0")
    if not _HEX.fullmatch(stripped) or len(stripped) > MAX_SERIAL_DIGITS:
        raise _no_serial(text)
    if len(digits) == FINGERPRINT_DIGITS:  # padded, or a fingerprint that begins with zeros
        raise _no_serial(text)
    return stripped


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as `sha256:` and 64 lower-case hex digits.

    Taken are 64 hex digits in either case, with colons or spaces, bare or after `sha256:`,
    `sha256 Fingerprint=` and `SHA256 Fingerprint=`.

    Raises:
        ValueError: it is none of these.
    """
    word = _lower(text)
    label = _FINGERPRINT_LABEL.match(word)
    digits = (word[label.end() :] if label else word).translate(_SEPARATORS)
    if len(digits) != FINGERPRINT_DIGITS or not _HEX.fullmatch(digits):
        raise ValueError(f"got {shown(text)}, expected a SHA-256 fingerprint of 64 hex digits")
    return f"sha256:{digits}"


def parse_certificate(text: str) -> str:
    """Return a certificate's fingerprint or serial, whichever `text` is, in our form.

    Raises:
        ValueError: it is neither.
    """
    try:
        return parse_fingerprint(text)
    except ValueError:
        return parse_serial(text)


def _lower(text: str) -> str:
    word = text.strip(_SPACE)
    if len(word) > MAX_TEXT:
        return ""
    # ASCII alone: what has a lower case elsewhere in Unicode is no digit and no label
    return "".join(each.lower() if "A" <= each <= "Z" else each for each in word)


def _no_serial(text: str) -> ValueError:
    return ValueError(
        f"got {shown(text)}, expected a serial such as 0AF0… or 0a:f0:… (hex, up to 20 octets),"
        " serial:2800 (decimal), or a SHA-256 fingerprint"
    )
