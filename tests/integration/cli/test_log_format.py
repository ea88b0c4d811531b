"""`--log-format json`: each line that a command writes beside its result is one event, in JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, Command, write
from tests.support.gateways.enrollee import API, Enrollee, bearer, grant_manifest, peer_manifest
from tests.support.gateways.gateway import Up
from tests.support.gateways.step_ca import authority
from tests.support.gateways.web_server import trusting
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.issuance.tokens import Token

TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE: Final = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), one=grant_manifest("one"))
    return made


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("grant", "list", "--no-such-option"), "usage"),
        (("grant", "show", "nobody"), "name_unknown"),
        (("-v", "grant", "show", "nobody"), "usage"),
        (("grant", "show", "nobody", "-v"), "name_unknown"),
        (("validate", "nowhere"), "source_unreadable"),
    ],
)
def test_an_error_is_an_event_with_its_code(
    mosaic: Quick, arguments: tuple[str, ...], code: str
) -> None:
    done = mosaic.process(*arguments, MOSAIC_LOG_FORMAT="json")
    assert done.code != 0
    last = events(done.err)[-1]
    assert (last["level"], last["code"], last["peer"]) == ("error", code, None)
    assert last["msg"]
    assert ("traceback" in last) == (arguments[-1] == "-v")


def test_what_a_command_prints_is_as_ever_and_what_it_says_beside_it_is_events(
    mosaic: Quick,
) -> None:
    done = mosaic.process.ok("apply", "manifests", "--yes", "--log-format", "json")
    assert "+ grant/one" in done.out
    assert any(each["msg"].startswith("acting on") for each in events(done.err))


def test_the_flag_wins_over_the_variable_and_that_over_the_file(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / ".mosaic").mkdir(mode=0o700)
    (tmp_path / ".mosaic/mosaic.toml").write_text('log_format = "json"\n')
    command = Command(tmp_path, {"MOSAIC_DATABASE_URL": database_url})
    show = ("grant", "show", "nobody")
    assert events(command(*show).err)[0]["code"] == "name_unknown"
    assert command(*show, MOSAIC_LOG_FORMAT="text").err.startswith("error: ")
    by_flag = command(*show, "--log-format", "json", MOSAIC_LOG_FORMAT="text")
    assert events(by_flag.err)[0]["code"] == "name_unknown"
    wrong = command(*show, MOSAIC_LOG_FORMAT="xml")
    assert (wrong.code, "MOSAIC_LOG_FORMAT: got 'xml'" in wrong.err) == (78, True)


def test_serve_writes_events_alone_and_each_names_its_request_its_grant_and_its_trace(
    tmp_path: Path, mosaic: Quick
) -> None:
    mosaic.ok("apply", "manifests", "--yes")
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "ca").mkdir()
    with authority(tmp_path / "ca", f"https://{address}") as ca:
        variables = {
            "MOSAIC_PUBLIC_URL": f"https://{address}",
            "MOSAIC_LISTEN": address,
            "MOSAIC_CA_URL": ca.url,
            "MOSAIC_CA_ROOT": str(ca.folder / "root_ca.crt"),
            "MOSAIC_CA_PROVISIONERS": str(ca.folder),
            "MOSAIC_LOG_FORMAT": "json",
        }
        started = Up.begin([*COMMAND, "serve"], mosaic.cwd, mosaic.environ(variables))
        try:
            started.wait_for("ready: ")
            tls, peer, token = trusting(ca.roots), Enrollee(), mosaic.rows.invite("one")
            with httpx.Client(base_url=f"https://{address}", verify=tls, trust_env=False) as client:
                answers = [_enroll(client, peer, token, TRACE) for _ in range(2)]
                answers.append(_enroll(client, peer, token, {"traceparent": '00-forged"}'}))
        finally:
            started.stop()
    assert [each.status_code for each in answers] == [201, 410, 410], answers[0].text
    lines = [json.loads(line) for line in started.lines]
    by_request = {each["correlationId"]: each for each in lines if each["correlationId"]}
    for answer, trace in zip(answers, (TRACE_ID, TRACE_ID, None), strict=True):
        line = by_request[answer.headers["x-correlation-id"]]
        assert (line["peer"], line["grant"], line["traceId"]) == ("beta", "one", trace)
    refusals = [each for each in lines if each["code"] == "token_spent"]
    assert [each["level"] for each in refusals] == ["info", "info"]
    assert started.process.returncode == 0


def _enroll(
    client: httpx.Client, peer: Enrollee, token: Token, headers: dict[str, str]
) -> httpx.Response:
    return client.post(
        f"{API}/enroll", headers=bearer(token) | headers, json={"csr": peer.csr_pem()}
    )
