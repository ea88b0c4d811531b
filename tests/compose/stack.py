"""Two gateways in containers, as compose/ brings them up, driven as an operator drives them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

from tests.support.commands.process import Ended
from tests.support.ports import free_port
from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# paths within the second are relative to the folder of the first, which is the project's
FILES: Final = (
    ROOT / "compose" / "docker-compose.federated.yml",
    ROOT / "tests" / "compose" / "docker-compose.two-gateways.yml",
)
USER: Final = 1000  # the image's, whose files the manifests must be
UP_S: Final = 180
HEALTHY_S: Final = 90
ALPHA_URL: Final = "https://alpha.gateway.test:8443"
LONG_RUNNING: Final = ("postgres", "step-ca", "gateway", "proxy", "reconciler")


def program() -> list[str]:
    """Return what Compose is called here."""
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


@dataclass(frozen=True)
class Stack:
    """One project of the engine that DOCKER_HOST names; its folders are below `folder`."""

    folder: Path
    project: str = field(default_factory=lambda: f"mosaic-{secrets.token_hex(4)}")
    port: int = field(default_factory=free_port)

    def prepare(self) -> None:
        """Write what an operator writes before the first `up`: secrets, and manifests."""
        for name, host in (("alpha", "postgres"), ("beta", "beta-postgres")):
            password = secrets.token_hex(16)
            url = f"postgresql://mosaic:{password}@{host}:5432/mosaic"
            text = self.folder / f"{name}-secrets"
            text.mkdir()
            (text / "database-password").write_text(password)
            (text / "database-url").write_text(url)
            self.manifests(name).mkdir()
        for manifest in (ROOT / "manifests").glob("*.yaml"):
            shutil.copy(manifest, self.manifests("alpha"))
        self.folder.chmod(0o755)
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, USER, USER)

    def manifests(self, gateway: str) -> Path:
        """The folder of a gateway's manifests."""
        return self.folder / f"{gateway}-manifests"

    def variables(self) -> dict[str, str]:
        """What an operator would write into `.env`."""
        return {
            "MOSAIC_PUBLIC_URL": ALPHA_URL,
            "MOSAIC_PORT": f"127.0.0.1:{self.port}",
            "MOSAIC_SECRETS": str(self.folder / "alpha-secrets"),
            "MOSAIC_MANIFESTS": str(self.manifests("alpha")),
            "BETA_SECRETS": str(self.folder / "beta-secrets"),
            "BETA_MANIFESTS": str(self.manifests("beta")),
        }

    def compose(
        self, *arguments: str, stdin: str = "", timeout_s: float = UP_S, **variables: str
    ) -> Ended:
        """Run docker-compose, whichever there is, on both files."""
        files = [word for file in FILES for word in ("--file", str(file))]
        values = {name: text for name, text in os.environ.items() if not name.startswith("MOSAIC_")}
        done = subprocess.run(
            [*program(), "--project-name", self.project, *files, *arguments],
            env={**values, **self.variables(), **variables},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str) -> str:
        """Run docker-compose, which must succeed; return what it printed."""
        done = self.compose(*arguments)
        assert done.code == 0, done.err
        return done.out

    def cli(self, gateway: str, *arguments: str, stdin: str = "") -> Ended:
        """Run `mosaic federation …` in a container of its own, as the operator of a gateway."""
        service = "cli" if gateway == "alpha" else f"{gateway}-cli"
        return self.compose("run", "-T", "--rm", service, *arguments, stdin=stdin)

    def document(self, gateway: str, *arguments: str, stdin: str = "") -> Any:
        """Run a command that must succeed; return what it prints as JSON."""
        done = self.cli(gateway, *arguments, "--output", "json", stdin=stdin)
        assert done.code == 0, done.err
        return done.document

    def ask(self, *arguments: str) -> Any:
        """Run what only reads, in alpha's first gateway: sooner than in a container of its own."""
        mosaic = ("mosaic", "federation", *arguments, "--output", "json")
        return json.loads(docker("exec", self.containers("gateway")[0], *mosaic))

    def type(self, *blocks: str) -> None:
        """Type commands of docs/deploy.md, for alpha alone; the name of the project differs."""
        values = {name: text for name, text in os.environ.items() if not name.startswith("MOSAIC_")}
        project = {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_FILE": str(FILES[0])}
        for block in blocks:
            typed = block.replace("docker compose", " ".join(program()))
            done = subprocess.run(
                ["sh", "-euc", typed.replace("mosaic_", f"{self.project}_")],
                cwd=self.folder,
                env={**values, **self.variables(), **project},
                capture_output=True,
                text=True,
                timeout=UP_S,
                check=False,
            )
            assert done.returncode == 0, done.stderr

    def sql(self, gateway: str, statement: str) -> str:
        """Ask a gateway's database, behind its back."""
        service = "postgres" if gateway == "alpha" else f"{gateway}-postgres"
        psql = ("psql", "--username=mosaic", "--no-psqlrc", "-At", "--command", statement)
        return docker("exec", self.containers(service)[0], *psql).strip()

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, those that have ended included."""
        labels = {"project": self.project, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{k}={v}" for k, v in labels.items()]
        return docker("ps", "--all", "--quiet", *filters).split()

    def kill(self, service: str) -> None:
        """Kill a service as the kernel would, without a word to the engine, which restarts it."""
        before = self.facts(service, "RestartCount")
        for pid in self.facts(service, "State.Pid"):
            os.kill(int(pid), signal.SIGKILL)
        wait_until(
            lambda: all(
                int(now) > int(then)
                for then, now in zip(before, self.facts(service, "RestartCount"), strict=True)
            ),
            f"{service} is started again",
        )

    def wait_healthy(self, *services: str) -> None:
        """Wait until every container of the services is healthy."""
        wait_until(
            lambda: all(
                set(self.facts(each, "State.Health.Status")) == {"healthy"} for each in services
            ),
            f"healthy: {', '.join(services)}",
        )

    def root(self) -> str:
        """Return the CA's root, as alpha's operator hands it on."""
        with httpx.Client(verify=False, base_url=self.url, trust_env=False) as client:
            return client.get("/federation/v1/ca/roots").raise_for_status().text

    @property
    def url(self) -> str:
        """Where alpha's proxy is published on this machine."""
        return f"https://127.0.0.1:{self.port}"

    def client(self, root: str) -> httpx.Client:
        """Return a client of alpha that trusts this root alone."""
        tls = ssl.create_default_context(cadata=root)
        tls.check_hostname = False  # here it is reached by the published port
        return httpx.Client(base_url=self.url, verify=tls, trust_env=False, timeout=20)

    def facts(self, service: str, which: str) -> list[str]:
        """Return what the engine knows of each container of a service."""
        containers = self.containers(service)
        return (
            docker("inspect", f"--format={{{{.{which}}}}}", *containers).split()
            if containers
            else []
        )


def wait_until(holds: Callable[[], bool], what: str, within_s: float = HEALTHY_S) -> None:
    """Wait until something holds; `what` is named where it never does."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(0.3)


def docker(*arguments: str) -> str:
    """Run a docker command that must succeed."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def logs(container: str) -> str:
    """Return what a container wrote, to either output."""
    both = subprocess.STDOUT
    done = subprocess.run(
        ["docker", "logs", container], stdout=subprocess.PIPE, stderr=both, text=True, check=True
    )
    return done.stdout
