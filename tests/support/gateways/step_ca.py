"""A real step-ca for tests, from the material and the configuration that `ca init` writes."""

from __future__ import annotations

import json
import shutil
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from reconciler.clients.step_ca.client import CaClient
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.core.telemetry import SILENT, Telemetry
from reconciler.crypto.ca_material import (
    PROVISIONERS,
    CaMaterial,
    CaPlacement,
    ca_config,
    new_ca,
)
from reconciler.crypto.ott import Provisioner
from reconciler.embedded.processes import spawn
from reconciler.embedded.stepca.install import find_step_ca
from reconciler.packaged_files import data_dir
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Authority:
    """A certificate authority in a folder of its own; `stop` and `start` it as a test needs."""

    folder: Path
    material: CaMaterial = field(repr=False)
    url: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def roots(self) -> tuple[str, ...]:
        return (self.material.root,)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, telemetry: Telemetry = SILENT) -> CaClient:
        """Return a client with all provisioners; its connections belong to one loop."""
        peers, gateway, revocations = (
            Provisioner.load(self.folder / f"{name}.json") for name in PROVISIONERS
        )
        return CaClient(
            self.url, self.roots, peers, gateway, revocations=revocations, telemetry=telemetry
        )

    def start(self) -> None:
        program = find_step_ca()
        assert program is not None, "there is no step-ca: mosaic federation ca install"
        config = self.folder / "ca.json"
        self.process = spawn([program, config], log=self.folder / "log")
        trust = ssl.create_default_context(cadata=self.material.root)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                httpx.get(f"{self.url}/health", verify=trust, trust_env=False).raise_for_status()
            except httpx.HTTPError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, "step-ca does not get ready"
                time.sleep(0.05)
            else:
                return

    def forget(self) -> None:
        """Lose its database, and start again."""
        self.stop()
        shutil.rmtree(self.folder / "db")
        self.start()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None


@contextmanager
def authority(
    folder: Path, public_url: str = "https://127.0.0.1", period: str = "1s", valid: str = "24h"
) -> Iterator[Authority]:
    """Run a new authority in the folder until the block ends.

    It makes its list every `period`, each `valid` for so long.
    """
    folder.mkdir(exist_ok=True)
    material = new_ca("Test", datetime.now(UTC))
    address = f"127.0.0.1:{free_port()}"
    placement = CaPlacement(
        folder=str(folder),
        address=address,
        dns_names=("127.0.0.1",),
        crl_url=f"{public_url}/federation/v1/ca/crl/{material.issuer_key_id}",
        oid_arc=DEFAULT_OID_ARC,
    )
    (folder / "root_ca.crt").write_text(material.root)
    (folder / "intermediate_ca.crt").write_text(material.intermediate)
    (folder / "intermediate_ca_key").write_bytes(material.intermediate_key)
    config = ca_config(placement, material.provisioners)
    config["crl"] |= {"renewPeriod": period, "cacheDuration": valid}
    (folder / "ca.json").write_text(json.dumps(config))
    for name, document in material.provisioners.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    shutil.copytree(data_dir("step-ca"), folder / "templates")
    made = Authority(folder, material, f"https://{address}")
    made.start()
    try:
        yield made
    finally:
        made.stop()
