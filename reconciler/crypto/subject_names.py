"""The names of CSRs and certificates, as text: common names and subjectAltName entries."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# what the library raises for bytes that are no X.509 it can read; not all are ValueErrors
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.AttributeNotFound,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_UTF8_STRING: Final = 0x0C  # X.690 8.1.2: universal, primitive, number 12
_LONG_FORM: Final = 0x80


@contextmanager
def any_length() -> Iterator[None]:
    """Read names that are longer or shorter than RFC 5280 has them without the library's warning.

    Go, Java and GnuTLS write them. Where warnings are errors, the warning would be a failure.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute's length", category=UserWarning)
        yield


def common_names(name: x509.Name) -> tuple[str, ...]:
    """Return every common name of a subject."""
    attributes = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return tuple(
        each.value if isinstance(each.value, str) else each.value.decode("latin-1")
        for each in attributes
    )


def general_names(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    """Return the names that are no otherName, each as `kind:value`."""
    return tuple(_as_text(name) for name in names if not isinstance(name, x509.OtherName))


def other_names(names: Iterable[x509.GeneralName]) -> tuple[tuple[str, str | None], ...]:
    """Return (OID, text) of each otherName; None where the value is no UTF8String."""
    return tuple(
        (name.type_id.dotted_string, _utf8_string(name.value))
        for name in names
        if isinstance(name, x509.OtherName)
    )


def _as_text(name: x509.GeneralName) -> str:
    match name:
        case x509.DNSName():
            return f"dns:{name.value}"
        case x509.IPAddress():
            return f"ip:{name.value}"
        case x509.UniformResourceIdentifier():
            return f"uri:{name.value}"
        case x509.RFC822Name():
            return f"email:{name.value}"
        case x509.DirectoryName():
            return f"directory:{name.value.rfc4514_string()}"
        case _:
            return f"{type(name).__name__}:{name.value}"


def _utf8_string(der: bytes) -> str | None:
    """Return the text of a DER UTF8String (X.690 8.1.3: short or long definite length)."""
    if len(der) < 2 or der[0] != _UTF8_STRING:
        return None
    length, start = der[1], 2
    if length & _LONG_FORM:
        octets = length & ~_LONG_FORM
        start += octets
        length = int.from_bytes(der[2:start], "big")
    value = der[start:]
    if len(value) != length:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
