"""One-time tokens for step-ca: short, fresh, and bound to one CSR."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt

from reconciler.core.issuance.x509 import GrantIdentity
from reconciler.crypto.ca_material import GATEWAY, PEERS, new_ca
from reconciler.crypto.csr import make_csr, read_csr
from reconciler.crypto.keys import generate_key
from reconciler.crypto.ott import OttTime, Provisioner, grant_ott, revoke_ott, server_ott
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TIME = OttTime(NOW, "ab" * 32)
MATERIAL = new_ca("Alpha", NOW)
URL = "https://127.0.0.1:9000"
CSR = read_csr(make_csr(generate_key(), "beta"))


@pytest.fixture
def provisioner(tmp_path: Path) -> Provisioner:
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(MATERIAL.provisioners[PEERS]))
    return Provisioner.load(path)


def claims_of(provisioner: Provisioner, token: str) -> dict[str, Any]:
    decoded = jwt.decode(token, provisioner.key, algorithms=["ES256"])
    assert decoded.header == {"alg": "ES256", "typ": "JWT", "kid": provisioner.kid}
    claims = dict(decoded.claims)
    assert claims.pop("iss") == provisioner.name
    assert claims.pop("jti") == "ab" * 32
    assert claims.pop("exp") - claims.pop("iat") == 60
    assert claims.pop("nbf") <= NOW.timestamp()
    return claims


def test_a_grant_token_carries_the_grant_and_is_bound_to_the_csr(provisioner: Provisioner) -> None:
    identity = GrantIdentity("0197f000", "maria")
    digest = base64.urlsafe_b64encode(hashlib.sha256(CSR.der).digest()).decode().rstrip("=")
    assert claims_of(provisioner, grant_ott(provisioner, URL, TIME, CSR, (identity, "1f"))) == {
        "aud": f"{URL}/1.0/sign",
        "sub": "grant-0197f000",
        "sans": ["beta"],
        "cnf": {"x5rt#S256": digest},
        "grantId": "0197f000",
        "subjectUserId": "maria",
        "serial": "31",
    }


def test_a_server_token_carries_the_names(provisioner: Provisioner) -> None:
    token = server_ott(provisioner, URL, TIME, CSR.digest_b64url, ("a.example", "127.0.0.1"))
    claims = claims_of(provisioner, token)
    assert claims["sans"] == ["a.example", "127.0.0.1"]
    assert claims["cnf"] == {"x5rt#S256": CSR.digest_b64url}


def test_a_revocation_token_names_the_serial_in_decimal(provisioner: Provisioner) -> None:
    claims = claims_of(provisioner, revoke_ott(provisioner, URL, TIME, "ff"))
    assert claims == {"aud": f"{URL}/1.0/revoke", "sub": "255"}


def test_the_two_provisioners_have_keys_of_their_own() -> None:
    kids = {MATERIAL.provisioners[each]["kid"] for each in (PEERS, GATEWAY)}
    assert len(kids) == 2
    assert all("d" not in MATERIAL.provisioners[each]["public"] for each in (PEERS, GATEWAY))


def test_the_repr_of_a_provisioner_shows_no_key(provisioner: Provisioner) -> None:
    assert repr(provisioner) == f"Provisioner(name='peers', kid='{provisioner.kid}')"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": "x", "kid": "y", "jwk": {}}'])
def test_a_file_that_is_no_provisioner_is_refused_by_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "peers.json").write_text(content)
    with pytest.raises(NeedsEdit, match="cannot be used as the key of a provisioner") as caught:
        Provisioner.load(tmp_path / "peers.json")
    assert (caught.value.code, caught.value.exit_code) == ("config_invalid", 78)


def test_a_missing_provisioner_is_refused_by_path(tmp_path: Path) -> None:
    with pytest.raises(NeedsEdit, match=r"none\.json .*: No such file or directory"):
        Provisioner.load(tmp_path / "none.json")
