"""An HTTP proxy that only knows CONNECT (RFC 9110 9.3.6), and takes every name for 127.0.0.1."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class ConnectProxy:
    """`targets` are the hosts and ports that were asked for, `credentials` what came with them.

    A name leads to 127.0.0.1, whatever it is. With a `refusal` (a status line) nothing is let out.
    """

    port: int = 0
    refusal: str = ""
    targets: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def connect_proxy(refusal: str = "") -> Iterator[ConnectProxy]:
    """Run a proxy until the block ends."""
    proxy = ConnectProxy(refusal=refusal)

    class Handler(socketserver.StreamRequestHandler):
        timeout = 30

        def handle(self) -> None:
            method, target, _ = self.rfile.readline().decode().split(" ", 2)
            assert method == "CONNECT"
            while (line := self.rfile.readline().decode().strip()) != "":
                name, _, value = line.partition(":")
                if name.lower() == "proxy-authorization":
                    proxy.credentials.append(value.strip())
            proxy.targets.append(target)
            if proxy.refusal:
                self.wfile.write(f"HTTP/1.1 {proxy.refusal}\r\n\r\n".encode())
                return
            with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as out:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(out, self.connection))
                back.start()
                _copy(self.connection, out)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy.port = server.server_address[1]
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            serving.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
