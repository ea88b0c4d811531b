"""A real Prometheus with the files of `compose/monitoring/`, as fast as a test needs it."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
from ruamel.yaml import YAML

from tests.support.ports import free_port
from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MONITORING: Final = ROOT / "compose" / "monitoring"


@dataclass(frozen=True)
class Prometheus:
    """A server that scrapes and evaluates every second."""

    client: httpx.Client
    log: Path

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.client.get("/api/v1/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def value(self, expression: str) -> float | None:
        """Return the value of an expression; None if it has none."""
        answer = self.client.get("/api/v1/query", params={"query": expression}).json()
        results = answer["data"]["result"]
        return float(results[0]["value"][1]) if results else None

    def wait_firing(self, *names: str) -> None:
        wait_until(lambda: set(names) <= self.firing(), f"{names} fire: {self.firing()}")


def fast_rules(thresholds: Mapping[str, str]) -> str:
    """Return the rules with each `for` a second, and with thresholds that a test can reach."""
    text = re.sub(r"for: \d+[mhd]\n", "for: 1s\n", (MONITORING / "rules.yml").read_text())
    for shown, short in thresholds.items():
        assert shown in text
        text = text.replace(shown, short)
    return text


@contextmanager
def prometheus(
    folder: Path, targets: tuple[str, ...], token: Path, thresholds: Mapping[str, str]
) -> Iterator[Prometheus]:
    """Run it in a folder until the block ends, with targets in the place of Compose's services."""
    folder.mkdir()
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load((MONITORING / "prometheus.yml").read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = document["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": list(targets)}]
    job["authorization"]["credentials_file"] = str(token)
    with (folder / "prometheus.yml").open("w") as file:
        yaml.dump(document, file)
    (folder / "rules.yml").write_text(fast_rules(thresholds))
    address, log = f"127.0.0.1:{free_port()}", folder / "log"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (
        log.open("wb") as output,
        httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=PATIENCE_S) as client,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return client.get("/-/ready").status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(ready, "Prometheus is ready")
            yield Prometheus(client, log)
        finally:
            process.kill()
