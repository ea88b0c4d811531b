"""`notify test` and `notify list`: what a target answers, and how far each is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.gateways.enrollee import peer_manifest
from tests.support.notices import SECRET, json_target, sending
from tests.support.services.receiver import Receiver, receiver
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Receiver]:
    with receiver(tmp_path) as running:
        yield running


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str, target: Receiver) -> Quick:
    """A shell with a signed target, a chat whose URL is a secret, and a forge."""
    (tmp_path / "signing").write_text(f"{SECRET}\n")
    (tmp_path / "token").write_text("f0rge-t0ken\n")
    (tmp_path / "url").write_text(f"{target.url}/services/T1/s3cr3t-path\n")
    roots = f'ca_file = "{target.roots}"\n'
    (tmp_path / "notify.toml").write_text(
        f'[[notify]]\nname = "hook"\nkind = "json"\nurl = "{target.url}/h"\n{roots}'
        'secret_file = "signing"\nevents = ["applied"]\n'
        f'[[notify]]\nname = "chat"\nkind = "slack"\nurl_file = "url"\n{roots}'
        f'[[notify]]\nname = "forge"\nkind = "gitlab"\nurl = "{target.url}"\n{roots}'
        'token_file = "token"\nrepository = "platform/grants"\n'
    )
    quick = shell(tmp_path, database_url)
    quick.variables["MOSAIC_NOTIFY_FILE"] = str(tmp_path / "notify.toml")
    quick.variables["MOSAIC_ALLOW_ADDRESSES"] = "127.0.0.0/8"
    return quick


def test_a_test_notice_is_sent_and_what_comes_back_is_said(mosaic: Quick, target: Receiver) -> None:
    target.answers(202)
    target.body = b"thanks\x1b[31m"
    ended = mosaic.ok("notify", "test", "hook")
    assert ended.out == "hook: taken, it answered 202: thanks\\x1b[31m\n"
    assert target.received[0].document["type"] == "mosaic.federation.test"
    assert mosaic.ok("notify", "test", "chat").code == 0
    assert "blocks" in target.received[1].document


def test_a_test_of_a_forge_sets_the_status_of_a_commit_under_its_own_context(
    mosaic: Quick, target: Receiver
) -> None:
    refused = mosaic("notify", "test", "forge")
    assert refused.code == 1
    assert "nothing was applied from a commit yet" in refused.err
    mosaic.ok("notify", "test", "forge", "--commit", SHA)
    (request,) = target.received
    assert request.path == f"/api/v4/projects/platform%2Fgrants/statuses/{SHA}"
    assert request.headers["private-token"] == "f0rge-t0ken"
    assert request.document["context"] == "mosaic/federation-test"
    assert mosaic("notify", "test", "forge", "--commit", "HEAD").code == 64


def test_gitlab_says_that_a_commit_has_the_status_already_and_that_is_fine(
    mosaic: Quick, target: Receiver
) -> None:
    target.answers(400)
    target.body = b'{"message":"Cannot transition status via :enqueue from :pending"}'
    mosaic.ok("notify", "test", "forge", "--commit", SHA)
    target.body = b'{"message":"400 Bad request"}'
    assert mosaic("notify", "test", "forge", "--commit", SHA).code == 1


def test_what_a_target_echoes_shows_no_secret(
    mosaic: Quick, target: Receiver, tmp_path: Path
) -> None:
    target.answers(403)
    url = (tmp_path / "url").read_bytes()
    escaped = url.replace(b"/", b"\\/")  # as JSON may write it
    target.body = b"no f0rge-t0ken, /services/T1/s3cr3t-path, " + url + escaped + b"s3cr3t-path"
    for name in ("forge", "chat"):
        ended = mosaic("notify", "test", name, *(("--commit", SHA) if name == "forge" else ()))
        assert ended.code == 1
        assert f"{name}: it answered 403: no " in ended.err
        secret = "f0rge-t0ken" if name == "forge" else "s3cr3t-path"
        assert secret not in ended.err + ended.out


def test_a_target_at_an_address_of_ours_is_refused(mosaic: Quick, target: Receiver) -> None:
    ended = mosaic("notify", "test", "hook", MOSAIC_ALLOW_ADDRESSES="10.0.0.0/8")
    assert ended.code == 1
    assert "127.0.0.1 leads to 127.0.0.1, which is not a public address" in ended.err
    assert target.received == []


def test_a_certificate_of_another_ca_is_refused(
    mosaic: Quick, target: Receiver, tmp_path: Path
) -> None:
    target.roots.write_text((tmp_path / "receiver.pem").read_text().split("-----END PRIVATE")[0])
    ended = mosaic("notify", "test", "hook")
    assert ended.code == 78
    assert "ca_file" in ended.err
    with receiver(tmp_path, "other"):
        target.roots.write_text((tmp_path / "other-roots.pem").read_text())
    ended = mosaic("notify", "test", "hook")
    assert ended.code == 1
    assert "its certificate does not verify" in ended.err
    assert "the target 'hook' at 127.0.0.1" in ended.err


def test_an_unknown_target_and_a_missing_file_are_named(mosaic: Quick, tmp_path: Path) -> None:
    ended = mosaic("notify", "test", "hok")
    assert ended.code == 1
    assert "did you mean 'hook'?" in ended.err
    (tmp_path / "signing").write_text("secret\n")
    ended = mosaic("notify", "test", "hook")
    assert ended.code == 78
    assert "line 1 does not begin with whsec_" in ended.err
    assert "openssl rand -base64 32" in ended.err


def test_the_list_shows_queue_success_and_error_and_status_shows_trouble(
    mosaic: Quick, target: Receiver, tmp_path: Path
) -> None:
    assert [each["queue"] for each in mosaic.document("notify", "list")] == [0, 0, 0]
    hook = json_target(tmp_path, "hook", target, "applied")
    target.answers(500)
    with sending(mosaic.rows.url, hook):
        mosaic.rows.apply(peer_manifest())
        wait_until(lambda: mosaic.document("notify", "list")[2]["attempts"], "an attempt")
    shown = mosaic.document("notify", "list")[2]
    assert (shown["name"], shown["queue"], shown["lastSuccess"]) == ("hook", 1, None)
    assert shown["lastError"]["message"] == "it answered 500"
    assert "it answered 500" in mosaic.ok("notify", "list").out
    (trouble,) = mosaic.document("status")["notices"]
    assert (trouble["target"], trouble["failing"]) == ("hook", True)
    assert "to hook: 1 notice waiting: it answered 500" in mosaic.ok("status").out
    assert "/h" not in mosaic.ok("notify", "list").out
