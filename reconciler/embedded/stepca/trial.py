"""Settings that are fixed for good, tried first on a certificate authority that is thrown away.

    (1) a step-ca is started on it, as the gateway's own will be
    (2) it signs a server certificate for the public URL, which a TLS client accepts under that name
    (3) it signs a peer's certificate under the OID arc, which carries what every grant's must
    (4) its revocation list covers both, as OpenSSL judges it

So what no certificate can be made for is known before anything is written.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from reconciler.clients.step_ca.answers import WrongLeaf
from reconciler.clients.step_ca.client import CaClient
from reconciler.config.home import Home
from reconciler.core.issuance.invitation import API_PREFIX
from reconciler.core.issuance.x509 import ExpectedLeaf, GrantIdentity, SignedLeaf
from reconciler.core.model.origin import address_of, server_names
from reconciler.crypto.ca_material import SIGNING
from reconciler.crypto.csr import make_csr, read_csr
from reconciler.crypto.keys import generate_key, private_key_pem
from reconciler.crypto.ott import Provisioner
from reconciler.embedded.ports import free_ports
from reconciler.embedded.postgres.server import never
from reconciler.embedded.stepca.ca_files import CaPlan, write_ca
from reconciler.embedded.stepca.process import StepCa
from reconciler.errors import MosaicError, NeedsEdit, Retry
from reconciler.files import private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.model.origin import Address

LIFE: Final = timedelta(hours=1)


def try_settings(
    folder: Path, binary: Path, public_url: str, oid_arc: str, listen: Address
) -> None:
    """Have a throw-away step-ca, run from `binary` in `folder`, sign for these settings.

    Raises:
        NeedsEdit: `config_invalid`: no certificate can be made for them.
        MosaicError: `child_failed`: step-ca cannot be started.
    """
    home = Home(folder)
    step_ca = StepCa(home, binary)
    step_ca.stop()  # of a trial that was killed: it is known by its folder
    shutil.rmtree(folder, ignore_errors=True)
    private_folder(folder)
    try:
        plan = _plan(home, public_url, oid_arc)
        write_ca(plan)
        private_folder(home.logs)
        step_ca.start(never)  # (1)
        try:
            asyncio.run(_sign(plan, public_url, oid_arc, server_names((public_url,), listen)))
        except (MosaicError, ValueError, ssl.SSLError) as error:
            raise NeedsEdit(
                "config_invalid",
                f"no certificate can be made for the public URL {public_url} and the OID arc"
                f" {oid_arc}: {_reason(error)}",
                hint="set another URL or arc: public_url (MOSAIC_PUBLIC_URL), oid_arc"
                " (MOSAIC_OID_ARC); nothing was made yet",
            ) from error
    finally:
        step_ca.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _plan(home: Home, public_url: str, oid_arc: str) -> CaPlan:
    return CaPlan(
        folder=home.ca,
        root_key=home.ca_root_key,
        provisioners=home.provisioners,
        public_url=public_url,
        address=f"127.0.0.1:{next(free_ports())}",
        name="Mosaic trial",
        oid_arc=oid_arc,
    )


async def _sign(plan: CaPlan, public_url: str, oid_arc: str, names: tuple[str, ...]) -> None:
    root = (plan.folder / "root_ca.crt").read_text()
    peers, gateway = (Provisioner.load(plan.provisioners / f"{name}.json") for name in SIGNING)
    async with CaClient(f"https://{plan.address}", (root,), peers, gateway) as ca:
        key = generate_key()
        chain = await ca.sign_server(make_csr(key), names, LIFE)
        crl = await ca.crl()
        identity = GrantIdentity(str(uuid.UUID(int=0)), "trial", oid_arc)
        csr, until = read_csr(make_csr(generate_key())), datetime.now(UTC) + LIFE
        expected = ExpectedLeaf(
            identity=identity,
            serial="1",
            spki_sha256=csr.spki_sha256,
            not_after=until.replace(microsecond=0),
            crl_bases=(f"{public_url}{API_PREFIX}/ca/crl",),
        )
        answer = await ca.sign_grant(csr, expected)  # (3)
        if isinstance(answer, WrongLeaf):
            raise Retry("ca_wrong_answer", answer.reason)
        if not isinstance(answer, SignedLeaf):
            raise Retry("ca_unavailable", answer.reason)
    own = plan.folder / "server.pem"
    own.write_bytes(private_key_pem(key) + "".join(chain).encode())
    trust = plan.folder / "trust.pem"
    trust.write_text(root + ssl.DER_cert_to_PEM_cert(crl).replace("CERTIFICATE", "X509 CRL"))
    _shake_hands(own, trust, address_of(public_url)[0])  # (2) (4)


def _shake_hands(own: Path, trust: Path, host: str) -> None:
    """Let a TLS client that checks name and revocation list meet a server with that certificate."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(own)
    trusting = ssl.create_default_context(cafile=str(trust))
    trusting.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
    waiting = [client, server]
    while waiting:
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, MosaicError) else str(error)
