"""A credential's folder: one generation or the next, never a mixture, whoever reads or writes."""

from __future__ import annotations

import os
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler.credentials.bundle import CredentialFiles, secret_document
from reconciler.credentials.folder import locked_folder, owner, remove_credential
from reconciler.errors import MosaicError
from tests.support.credentials import credential_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RENEWALS: Final = 2000


def files(text: str = "1") -> CredentialFiles:
    octets = text.encode()
    return CredentialFiles(b"certificate " + octets, b"key " + octets, b"roots", b"{}\n")


def write(path: Path, content: CredentialFiles, *, hook: bool = False) -> None:
    with locked_folder(path, "alpha") as folder:
        folder.write(content, hook=hook)


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def test_a_folder_holds_links_to_one_generation(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alpha"
    previous = os.umask(0)
    try:
        write(path, files("1"))
        write(path, files("2"))
    finally:
        os.umask(previous)

    generation = (path / "..data").readlink()
    assert names(path) == sorted(
        ["..data", "..peer", str(generation), "ca.crt", "grant.json", "tls.crt", "tls.key"]
    )
    assert str((path / "tls.key").readlink()) == "..data/tls.key"
    assert (path / "tls.crt").read_bytes() == b"certificate 2"
    assert [path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777] == [0o700, 0o700]
    assert (path / "tls.key").stat().st_mode & 0o777 == 0o600
    assert (path / str(generation)).stat().st_mode & 0o777 == 0o700
    assert owner(path) == "alpha"


def test_a_reader_never_sees_a_key_beside_another_certificate(tmp_path: Path) -> None:
    path, pairs = tmp_path / "alpha", [credential_files(), credential_files()]
    write(path, pairs[0])
    stop, seen, failures = threading.Event(), [0], []

    def read() -> None:
        while not stop.is_set():
            folder = path / (path / "..data").readlink()
            try:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
            except FileNotFoundError:  # the generation is older than the one that was swapped in
                continue
            except ssl.SSLError as error:
                failures.append(error)
            seen[0] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(RENEWALS):
            write(path, pairs[number % 2])
    finally:
        stop.set()
        reader.join()
    assert failures == []
    assert seen[0] > RENEWALS // 100


@pytest.mark.parametrize("what", ["a generation", "links", "a file"])
def test_what_is_not_whole_is_written_anew(tmp_path: Path, what: str) -> None:
    path = tmp_path / "alpha"
    write(path, files())
    generation = path / (path / "..data").readlink()
    match what:
        case "a generation":
            (generation / "tls.key").unlink()
        case "links":
            (path / "tls.crt").unlink()
            (path / "tls.crt").write_bytes(b"certificate 1")
        case _:
            (generation / "tls.key").write_bytes(b"another")
    with locked_folder(path, "alpha") as folder:
        assert not folder.holds(files())
        folder.write(files(), hook=False)
        assert folder.holds(files())


def test_what_an_interrupted_write_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "alpha"
    write(path, files())
    (path / "..0123456789abcdef").mkdir()
    (path / "..next").symlink_to("nowhere")
    (path / "mine").write_text("kept")
    before = str((path / "..data").readlink())
    with locked_folder(path, "alpha") as folder:
        folder.remove_leftovers()
    assert names(path) == sorted(
        ["..data", "..peer", before, "ca.crt", "grant.json", "mine", "tls.crt", "tls.key"]
    )


@contextmanager
def refused(code: str, text: str) -> Iterator[None]:
    with pytest.raises(MosaicError) as caught:
        yield
    assert caught.value.code == code
    assert text in caught.value.message


def test_the_folder_of_another_peer_is_refused(tmp_path: Path) -> None:
    write(tmp_path, files())
    before = (tmp_path / "tls.crt").read_bytes()
    with (
        refused("state_conflict", "the credential of the peer 'alpha', not of 'gamma'"),
        locked_folder(tmp_path, "gamma"),
    ):
        pass
    assert (tmp_path / "tls.crt").read_bytes() == before


def test_files_of_somebody_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tls.key").write_text("somebody's")
    with refused("state_conflict", "tls.key"), locked_folder(tmp_path, "alpha"):
        pass
    assert names(tmp_path) == ["tls.key"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with refused("file_unusable", "file"), locked_folder(tmp_path / "file", "alpha"):
        pass
    with refused("file_unusable", "file"), locked_folder(tmp_path / "file" / "below", "alpha"):
        pass


def test_the_mode_that_an_operator_gave_a_folder_stays(tmp_path: Path) -> None:
    path = tmp_path / "alpha"
    write(path, files("1"))
    path.chmod(0o750)
    write(path, files("2"))
    assert path.stat().st_mode & 0o777 == 0o750


def test_removal_leaves_what_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "alpha"
    write(path, files(), hook=True)
    (path / "mine").write_text("kept")
    assert remove_credential(path) == "alpha"
    assert names(path) == ["mine"]
    assert remove_credential(path) is None

    write(tmp_path / "whole", files())
    remove_credential(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize(
    ("name", "namespace"), [("Upper", None), ("", None), ("a/b", None), ("a", "a.b"), ("a", "")]
)
def test_a_secret_has_names_that_kubernetes_takes(name: str, namespace: str | None) -> None:
    with refused("value_invalid", "got"):
        secret_document(files(), name, namespace)


def test_a_secret_holds_certificate_key_and_roots() -> None:
    document: dict[str, Any] = secret_document(files(), "mosaic-alpha", "apps")
    assert document["metadata"] == {"name": "mosaic-alpha", "namespace": "apps"}
    assert sorted(document["data"]) == ["ca.crt", "tls.crt", "tls.key"]
