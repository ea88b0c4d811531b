"""Texts that libpq does not take, or does not split as was meant: no piece of a password shows."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.errors import MosaicError, NeedsEdit, Retry
from reconciler.store.db import Database
from tests.support.commands.in_process import Quick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET: Final = "hunter2-s3cret"


@pytest.fixture
def mosaic(tmp_path: Path) -> Quick:
    return Quick(tmp_path)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://mosaic@h/mosaic?pgbouncer=true", "libpq has no option 'pgbouncer'"),
        ("postgresql://mosaic@h/mosaic?sslmod=require", "did you mean 'sslmode'?"),
        ("host=h dbnam=mosaic", "did you mean 'dbname'?"),
        (f"mysql://mosaic:{SECRET}@h/mosaic", "got mysql://…, expected postgresql://"),
        (f"postgresql+psycopg://mosaic:{SECRET}@h/mosaic", "got postgresql+psycopg://…"),
        (f"jdbc:postgresql://mosaic:{SECRET}@h/mosaic", "got jdbc:postgresql://…, expected"),
        (f"POSTGRESQL://mosaic:{SECRET}@h/mosaic", "got POSTGRESQL://…, expected postgresql://"),
        (f"'postgresql://mosaic:{SECRET}@h/mosaic'", "it begins with a quotation mark"),
        (f'"postgresql://mosaic:{SECRET}@h/mosaic"', "it begins with a quotation mark"),
        (f"postgresql://mosaic:{SECRET}@h/mosaic\n", "it contains a line break"),
        (f"postgresql://mosaic:{SECRET}@h/mosaic\u200b", "it contains U+200B"),
        (SECRET, "expected postgresql://user@host/name"),
        (f"host=h password=x {SECRET}", 'missing "="'),
        (f"host=h password=x {SECRET}=y", "expected postgresql://"),
        (f"postgresql://mosaic:{SECRET}@[h/mosaic", 'looking for matching "]"'),
        (f"postgresql://mosaic:%zz{SECRET}@h/mosaic", "invalid percent-encoded token"),
        (f"postgresql://mosaic:a/b?{SECRET}@h/mosaic", "missing key/value separator"),
        (f"postgresql://mosaic:a/b?{SECRET}=b@h/mosaic", "libpq cannot read it"),
        (f"postgresql://mosaic:a/{SECRET}@h/mosaic", "percent-encoded"),
        (f"postgresql://mosaic:a@{SECRET}@h/mosaic", "percent-encoded"),
        (f"postgresql://mosaic:a?b@{SECRET}@h/mosaic", "percent-encoded"),
        (f'postgresql://mosaic:a b"{SECRET}@h/mosaic', "unexpected spaces"),
        ("postgresql://mosaic@127.0.0.1:port/mosaic", 'invalid integer value "port"'),
        ("host=h,i port=1,2,3 dbname=mosaic", "could not match"),
        ("service=nowhere", 'definition of service "nowhere" not found'),
    ],
)
def test_a_text_that_libpq_does_not_take_is_told_without_a_secret(
    mosaic: Quick, url: str, expected: str
) -> None:
    for verb in (("grant", "list"), ("grant", "suspend", "x"), ("db", "upgrade"), ("db", "url")):
        done = mosaic(*verb, "--log-level", "debug", MOSAIC_DATABASE_URL=url)
        assert SECRET not in done.err
        if verb != ("db", "url"):
            assert done.code == 78, done.err
            assert expected in done.err
            assert done.err.count("error: ") == 1
    doctor = mosaic("doctor", "--log-level", "debug", MOSAIC_DATABASE_URL=url)
    assert SECRET not in doctor.out + doctor.err


@pytest.mark.parametrize(
    ("severity", "state", "message", "kind"),
    [
        ("ВАЖНО", "28P01", "пользователь не прошёл проверку подлинности", NeedsEdit),
        ("致命错误", "57P03", "数据库系统正在启动", Retry),
    ],
)
def test_a_refusal_in_another_language_is_known_by_its_sqlstate(
    severity: str, state: str, message: str, kind: type[MosaicError]
) -> None:
    with refusing(severity, state, message) as port:
        url = f"postgresql://mosaic@127.0.0.1:{port}/mosaic?sslmode=disable"
        with pytest.raises(kind) as caught, Database(url, "tests").transaction():
            pass
    assert f"port {port} cannot be reached: {message} (SQLSTATE {state})" in str(caught.value)


@contextmanager
def refusing(severity: str, state: str, message: str) -> Iterator[int]:
    """Refuse every connection as a server does whose lc_messages is not English."""
    fields = b"".join(
        f"{name}{value}".encode() + b"\0"
        for name, value in (("S", severity), ("V", "FATAL"), ("C", state), ("M", message))
    )
    refusal = b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0"

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(refusal)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
