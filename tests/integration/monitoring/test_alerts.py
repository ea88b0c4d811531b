"""Each alert, made to fire by what it warns of: real processes, a real CA, a real Prometheus.

One story, because what the rows know is shown up to 15 seconds later: so all is waited for at once.
That rows which cannot be read are told is in `test_metrics.py`.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
import psycopg

from tests.integration.monitoring.test_rules import rules
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, write
from tests.support.gateways.enrollee import Enrollee, grant_manifest, peer_manifest
from tests.support.gateways.step_ca import authority
from tests.support.gateways.web_server import trusting
from tests.support.ports import free_port
from tests.support.services.prometheus import prometheus
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gateways.step_ca import Authority

TOKEN: Final = "0123456789abcdef"
GRANTS: Final = ("self-tasks", "gone", "robbed")
THRESHOLDS: Final = {
    "> 900": "> 8",  # seconds since a pass of the loop, which come every second
    "> 300": "> 3",  # of the oldest revocation
    "< 43200": "< 2",  # of the list, which is valid for 32 s here
    "[5m]": "[15s]",
}
DUE: Final = (
    "UPDATE federation_peers SET cert_not_before = now() - interval '23 hours',"
    " cert_not_after = now() + interval '1 hour' WHERE direction = 'outbound'"
)


@contextmanager
def running(mosaic: Quick, *arguments: str, listen: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a verb until the block ends."""
    with (mosaic.cwd / f"{arguments[0]}.log").open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=mosaic.cwd,
            env=mosaic.environ({"MOSAIC_PRIVATE_LISTEN": listen}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait(PATIENCE_S)


def gateway(folder: Path, database_url: str, ca: Authority, port: int) -> Quick:
    mosaic = shell(folder, database_url)
    token = folder / "token"
    token.write_text(TOKEN)
    mosaic.variables.update(
        {
            "MOSAIC_PUBLIC_URL": f"https://127.0.0.1:{port}",
            "MOSAIC_LISTEN": f"127.0.0.1:{port}",
            "MOSAIC_CA_URL": ca.url,
            "MOSAIC_CA_ROOT": str(ca.folder / "root_ca.crt"),
            "MOSAIC_CA_PROVISIONERS": str(ca.folder),
            "MOSAIC_ALLOW_ADDRESSES": "127.0.0.0/8",
            "MOSAIC_PRIVATE_TOKEN_FILE": str(token),
        }
    )
    grants = {name: grant_manifest(name) for name in GRANTS}
    write(folder / "manifests", beta=peer_manifest(), **grants)
    mosaic.ok("apply", "--yes")
    return mosaic


def test_each_alert_fires_by_what_it_warns_of_and_none_before(
    tmp_path: Path, database_url: str
) -> None:
    port = free_port()
    targets = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    folder = tmp_path / "ca"
    folder.mkdir()
    with authority(folder, f"https://127.0.0.1:{port}", valid="32s") as ca:
        mosaic = gateway(tmp_path, database_url, ca, port)
        with (
            running(mosaic, "serve", listen=targets[0]),
            running(mosaic, "run", "--poll", "1s", listen=targets[1]) as loop,
            prometheus(
                tmp_path / "prometheus", (*targets,), tmp_path / "token", THRESHOLDS
            ) as monitor,
            httpx.Client(
                base_url=f"https://127.0.0.1:{port}",
                verify=trusting(ca.roots),
                trust_env=False,
                timeout=PATIENCE_S,
            ) as client,
        ):
            wait_until(lambda: monitor.value("mosaic_crl_next_update_timestamp_seconds"), "a list")
            wait_until(lambda: monitor.value("sum(up)") == 2, "both are scraped")
            wait_until(lambda: monitor.firing() == set(), "it is well")

            robbed = mosaic.rows.invite("robbed")
            for token in (mosaic.rows.invite("gone"), robbed):
                assert Enrollee().enroll(client, token).status_code == 201
            invitation = mosaic.document("grant", "invite", "self-tasks")["invitation"]["url"]
            adding = ("peer", "add", invitation, "--name", "itself", "--no-write", "--yes")
            mosaic.ok(*adding, MOSAIC_PUBLIC_URL="")  # else it refuses an invitation of its own

            ca.stop()  # so nobody renews, the list grows old, and revocations wait
            write(tmp_path / "manifests", broken="kind: Nothing\n")  # so no pass succeeds
            mosaic.ok("grant", "revoke", "gone", "--reason", "left", "--yes")
            assert Enrollee().enroll(client, robbed).status_code == 410
            with psycopg.connect(database_url) as connection:  # a person, by hand
                connection.execute("UPDATE federation_grants SET protect = true")
            mosaic.rows.run(DUE)
            monitor.wait_firing("MosaicLoopStopped")
            assert "MosaicProcessDown" not in monitor.firing()

            loop.kill()
            mosaic.ok("pause", "--reason", "incident")
            every = {each["alert"] for each in rules()}
            monitor.wait_firing(*every - {"MosaicLoopStopped", "MosaicDatabaseDown"})
            wait_until(lambda: "MosaicLoopStopped" not in monitor.firing(), "a pause is no stop")
