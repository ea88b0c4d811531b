"""`ca status` against a real step-ca: whether its provisioners are exactly ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.commands.in_process import Quick
from tests.support.gateways.step_ca import authority

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.gateways.step_ca import Authority


def changed(made: Authority, change: Callable[[Any], None]) -> None:
    """Start the CA anew with another configuration."""
    made.stop()
    config = made.folder / "ca.json"
    document = json.loads(config.read_text())
    change(document)
    config.write_text(json.dumps(document))
    made.start()


def test_the_provisioners_are_ours_until_one_of_their_claims_differs(tmp_path: Path) -> None:
    with authority(tmp_path) as made:
        shell = Quick(
            tmp_path,
            {
                "MOSAIC_CA_URL": made.url,
                "MOSAIC_CA_ROOT": str(tmp_path / "root_ca.crt"),
                "MOSAIC_CA_PROVISIONERS": str(tmp_path),
            },
        )
        good = shell("ca", "status", "--output", "json")
        assert (good.code, good.document["differences"]) == (0, [])

        def loosen(document: Any) -> None:
            provisioner = document["authority"]["provisioners"][0]
            provisioner["claims"]["maxTLSCertDuration"] = "8760h"
            provisioner["options"]["x509"]["templateData"]["oidArc"] = "1.2.3"

        changed(made, loosen)
        loose = shell("ca", "status")
        assert loose.code == 1
        assert "peers: maxTLSCertDuration: got '8760h0m0s', expected '169h0m0s'" in loose.err
        assert "peers: oidArc: got '1.2.3'" in loose.err

        def name_another_issuer(document: Any) -> None:
            for each in document["authority"]["provisioners"]:
                data = each["options"]["x509"]["templateData"]
                origin = data["crlUrl"].rpartition("/")[0]
                data["crlUrl"] = f"{origin}/{'0' * 40}"
                data["crlUrls"] = [data["crlUrl"]]

        changed(made, name_another_issuer)
        assert f"name the list of the issuer key {'0' * 40}, and" in shell("ca", "status").err

        def add(document: Any) -> None:
            document["authority"]["provisioners"].append({"type": "ACME", "name": "acme"})

        changed(made, add)
        assert "ACME acme None" in shell("ca", "status").err
