"""The files of a credential (docs/use-a-credential.md), and a Kubernetes Secret of the same."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.errors import NeedsEdit

CERTIFICATE, KEY, ROOTS, GRANT = "tls.crt", "tls.key", "ca.crt", "grant.json"
NAMES: Final = (CERTIFICATE, KEY, ROOTS, GRANT)

_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")  # RFC 1123, 253 in all
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """The content of each file, of one generation.

    `certificate` is the leaf and its intermediates, `key` PKCS #8, `roots` the other gateway's
    (PEM all); `grant` is the JSON text of `grant.json`.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    roots: bytes
    grant: bytes

    def by_name(self) -> dict[str, bytes]:
        """Return the contents by the names of the files."""
        return dict(zip(NAMES, (self.certificate, self.key, self.roots, self.grant), strict=True))


def secret_document(files: CredentialFiles, name: str, namespace: str | None) -> dict[str, Any]:
    """Return a `v1` Secret of type `kubernetes.io/tls`, with `ca.crt`.

    Raises:
        NeedsEdit: `value_invalid`: Kubernetes takes no such name or namespace.
    """
    _require(name, _SUBDOMAIN, "--secret-name", "lower-case letters, digits, `-` and `.`")
    metadata = {"name": name}
    if namespace is not None:
        _require(namespace, _LABEL, "--namespace", "up to 63 lower-case letters, digits and `-`")
        metadata["namespace"] = namespace
    contents = files.by_name()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/tls",
        "data": {
            each: base64.b64encode(contents[each]).decode() for each in (CERTIFICATE, KEY, ROOTS)
        },
    }


def _require(text: str, pattern: re.Pattern[str], option: str, expected: str) -> None:
    if not pattern.fullmatch(text):
        message = f"{option}: got {text!r}, expected {expected}"
        raise NeedsEdit("value_invalid", message, hint="name it as Kubernetes does")
