"""What the docs show of using a credential works as it stands, and takes a renewed one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.project import checkout
from tests.support.services.proxies import envoy_command, nginx_command
from tests.support.services.service import service
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gateways.holder import Holder
    from tests.support.services.service import Service

PAGE: Final = checkout.ROOT / "docs" / "use-a-credential.md"


def block(language: str, number: int = 0) -> str:
    """Return a block of the page."""
    text: str = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)[number]
    return text


@pytest.fixture
def called(tmp_path: Path, holder: Holder) -> Iterator[Service]:
    with service(tmp_path, holder.alpha.authority.material.root) as running:
        yield running


def python(folder: Path) -> list[str]:
    script = folder / "client.py"
    script.write_text(block("python"))
    return [sys.executable, str(script)]


def node(folder: Path) -> list[str]:
    script, program = folder / "client.mjs", shutil.which("node")
    assert program is not None, "there is no node: `make test` installs it"
    script.write_text(block("js"))
    return [program, str(script)]


def go(folder: Path) -> list[str]:
    source, program = folder / "client.go", shutil.which("go")
    assert program is not None, "there is no go: `make test` installs it"
    source.write_text(block("go"))
    offline = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off", "GO111MODULE": "off"}
    built = str(folder / "client")
    subprocess.run([program, "build", "-o", built, source], env=os.environ | offline, check=True)
    return [built]


@pytest.mark.parametrize("make", [python, node, go])
def test_a_client_takes_a_renewed_credential_without_a_restart(
    make: object, holder: Holder, called: Service, tmp_path: Path
) -> None:
    assert callable(make)
    assert holder.release().code == 0
    words = [*make(tmp_path), str(holder.folder), str(called.roots)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for renewed in (False, True):
            before = holder.serial()
            if renewed:
                holder.renew()
                assert holder.release().code == 0
                assert holder.serial() != before
            client.stdin.write(f"{called.url}\n")
            assert client.stdout.readline().strip() == holder.serial()
        client.stdin.close()
        assert client.wait(60) == 0


ENVOY: Final = """
node: {id: tests, cluster: tests}
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: PORT}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": "type.googleapis.com/envoy.extensions.filters.network.\\
                  http_connection_manager.v3.HttpConnectionManager"
                stat_prefix: out
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{match: {prefix: /}, route: {cluster: service}}]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: service
      load_assignment:
        cluster_name: service
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address: {socket_address: {address: 127.0.0.1, port_value: SERVICE}}
"""


@contextmanager
def running(words: list[str], folder: Path, port: int) -> Iterator[httpx.Client]:
    """Run a proxy in its folder, and give a client of it once it listens."""
    log = folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(words, cwd=folder, stdout=output, stderr=output) as process,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Connection": "close"}, trust_env=False
        ) as client,
    ):

        def listens() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")
            try:
                client.get("/")
            except httpx.TransportError:
                return False
            return True

        try:
            wait_until(listens, f"{words[0]} listens")
            yield client
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def shows_each_credential(holder: Holder, client: httpx.Client, *options: str) -> None:
    """Assert that the service behind a proxy sees the credential, and then the renewed one."""
    before = holder.serial()
    assert client.get("/").text == before
    holder.renew()
    assert holder.release(*options).code == 0
    assert holder.serial() != before
    wait_until(lambda: client.get("/").text == holder.serial(), "the new one is shown")


def test_nginx_takes_a_renewed_credential_by_the_hook(
    holder: Holder, called: Service, tmp_path: Path
) -> None:
    assert holder.release().code == 0
    port, config = free_port(), tmp_path / "nginx.conf"
    text = block("nginx").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    text = text.replace("https://service.alpha.example", called.url)
    text = text.replace("service.alpha.example", "service.example")
    text = text.replace("/var/lib/alpha-credential", str(holder.folder))
    text = text.replace("/etc/alpha/service-roots.pem", str(called.roots))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    config.write_text(f"events {{}}\nhttp {{ access_log off; {places}\n{text}}}\n")
    words = nginx_command(tmp_path, config, reloads=True)
    with running(words, tmp_path, port) as client:
        shows_each_credential(holder, client, "--exec", shlex.join([*words, "-s", "reload"]))


def test_envoy_takes_a_renewed_credential_by_itself(
    holder: Holder, called: Service, tmp_path: Path
) -> None:
    assert holder.release().code == 0
    port, config, secret = free_port(), tmp_path / "envoy.yaml", tmp_path / "alpha.yaml"
    folder = str(holder.folder)
    secret.write_text(block("yaml").replace("/var/lib/alpha-credential", folder))
    socket = block("yaml", 1).replace("service.alpha.example", "service.example")
    socket = socket.replace("/etc/alpha/service-roots.pem", str(called.roots))
    socket = socket.replace("/etc/envoy/alpha.yaml", str(secret))
    text = ENVOY.replace("PORT", str(port)).replace("SERVICE", called.url.rpartition(":")[2])
    config.write_text(text + "".join(f"      {line}\n" for line in socket.splitlines()))
    with running(envoy_command(config), tmp_path, port) as client:
        shows_each_credential(holder, client)
