"""What a CA that starts anew still knows."""

from __future__ import annotations

import secrets
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from reconciler.core.issuance.x509 import GrantIdentity
from reconciler.crypto.ca_material import PEERS
from reconciler.crypto.csr import make_csr, read_csr
from reconciler.crypto.keys import generate_key
from reconciler.crypto.ott import OttTime, Provisioner, grant_ott
from tests.support.gateways.step_ca import authority

if TYPE_CHECKING:
    from pathlib import Path


def test_a_one_time_token_stays_used(tmp_path: Path) -> None:
    identity = GrantIdentity("0197a000-0000-7000-8000-000000000001", "maria@alpha.example")
    csr, serial = read_csr(make_csr(generate_key())), f"1{secrets.token_hex(19)}"
    with authority(tmp_path) as ca:
        provisioner = Provisioner.load(ca.folder / f"{PEERS}.json")
        at = OttTime(datetime.now(UTC), secrets.token_hex(32))
        token = grant_ott(provisioner, ca.url, at, csr, (identity, serial))
        trust = ssl.create_default_context(cadata=ca.material.root)

        def use_it() -> int:
            body = {"csr": csr.pem, "ott": token}
            url = f"{ca.url}/1.0/sign"
            return httpx.post(url, json=body, verify=trust, trust_env=False).status_code

        assert use_it() == 201
        ca.stop()
        ca.start()
        assert use_it() == 401
