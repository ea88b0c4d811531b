"""One-time tokens for step-ca's JWK provisioners.

step-ca consumes a token before it checks it, sets no maximum on its life, and wants `exp`, `nbf`
and `jti` of nobody: short life, binding to one CSR and freshness are the minter's duty.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from reconciler.core.issuance.x509 import grant_common_name
from reconciler.errors import OTHER_USER, NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.issuance.x509 import GrantIdentity
    from reconciler.crypto.csr import VerifiedCsr

OTT_LIFE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Provisioner:
    """A JWK provisioner's name and private key."""

    name: str
    kid: str
    key: ECKey = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Provisioner:
        """Return the provisioner of a JWK file that `ca init` wrote.

        Raises:
            NeedsEdit: `config_invalid`, naming the file.
        """
        try:
            document = json.loads(path.read_text())
            return cls(document["name"], document["kid"], ECKey.import_key(document["jwk"]))
        except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
            reason = getattr(error, "strerror", None) or "it is not a JWK that `ca init` wrote"
            raise NeedsEdit(
                "config_invalid",
                f"{path} cannot be used as the key of a provisioner: {reason}",
                hint=OTHER_USER
                if isinstance(error, PermissionError)
                else "restore it from a backup; `ca init` writes it only for a new CA",
            ) from None


@dataclass(frozen=True, slots=True)
class OttTime:
    """When a token is minted, and its unique id (64 hex digits)."""

    now: datetime
    jti: str

    def claims(self) -> dict[str, Any]:
        """Return `iat`, `nbf`, `exp` and `jti`.

        `nbf` lies a little back: step-ca allows clocks to differ by 60 s either way.
        """
        issued = int(self.now.timestamp())
        expires = issued + int(OTT_LIFE.total_seconds())
        return {"iat": issued, "nbf": issued - 5, "exp": expires, "jti": self.jti}


def grant_ott(
    provisioner: Provisioner,
    audience: str,
    time: OttTime,
    csr: VerifiedCsr,
    leaf: tuple[GrantIdentity, str],
) -> str:
    """Return the token that lets step-ca sign this CSR, once, as this grant with this serial.

    `leaf` is the grant's identity and the serial in hex. `sans` lists the CSR's own names, and
    nothing else: step-ca refuses a CSR whose common name is not listed, or whose other names are
    not exactly those that are. The template takes none of them.
    """
    identity, serial = leaf
    subject = grant_common_name(identity.grant_id)
    return _encode(
        provisioner,
        {
            **time.claims(),
            "aud": f"{audience}/1.0/sign",
            "sub": subject,
            "sans": list(csr.facts.listed_names) or [subject],
            "cnf": {"x5rt#S256": csr.digest_b64url},
            "grantId": identity.grant_id,
            "subjectUserId": identity.subject_user_id,
            "serial": str(int(serial, 16)),
        },
    )


def server_ott(
    provisioner: Provisioner, audience: str, time: OttTime, csr_digest: str, names: tuple[str, ...]
) -> str:
    """Return the token for the gateway's own server certificate; its names are `names`."""
    claims = {
        **time.claims(),
        "aud": f"{audience}/1.0/sign",
        "sub": names[0],
        "sans": list(names),
        "cnf": {"x5rt#S256": csr_digest},
    }
    return _encode(provisioner, claims)


def revoke_ott(provisioner: Provisioner, audience: str, time: OttTime, serial: str) -> str:
    """Return the token that lets step-ca revoke one serial (hex), whether or not it was signed."""
    decimal = str(int(serial, 16))
    claims = {**time.claims(), "aud": f"{audience}/1.0/revoke", "sub": decimal}
    return _encode(provisioner, claims)


def _encode(provisioner: Provisioner, claims: dict[str, Any]) -> str:
    header = {"alg": "ES256", "typ": "JWT", "kid": provisioner.kid}
    return jwt.encode(
        header,
        {"iss": provisioner.name, **claims},
        provisioner.key,
    )
