"""`/metrics` over HTTP: what requests count, and who may read it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.web.metrics.registry import Metrics
from reconciler.web.private.access import Access
from tests.support.gateways.certified import certify, make_certificate
from tests.support.gateways.enrollee import Enrollee, Rows, grant_manifest, peer_manifest
from tests.support.gateways.private_server import serving_private
from tests.support.gateways.web_server import Parts, serving
from tests.support.metrics import read, samples, value

if TYPE_CHECKING:
    from tests.support.gateways.step_ca import Authority

TOKEN: Final = "0123456789abcdef"


@pytest.fixture
def rows(database_url: str) -> Rows:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    return rows


def test_the_endpoint_counts_routes_without_what_clients_choose_and_enrollments_and_the_ca(
    database_url: str, shared_authority: Authority
) -> None:
    rows, metrics = Rows(database_url), Metrics("serve")
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    parts = Parts(
        rows.url,
        shared_authority.roots,
        partial(shared_authority.client, metrics),
        telemetry=metrics,
    )
    token = rows.invite("beta-tasks")
    with serving(parts) as running, running.client() as client:
        assert Enrollee().enroll(client, token).status_code == 201
        assert Enrollee().enroll(client, token).status_code == 410
        assert client.post("/federation/v1/enroll", json={}).status_code == 400
        for issuer in ("abcdef", "a", "federation", "crl"):  # parts of the path too
            client.get(f"/federation/v1/ca/crl/{issuer}")
        client.get("/secret/path")
    series = read(metrics)
    routes = {dict(labels)["route"] for labels in series["mosaic_http_requests_total"]}
    assert routes == {"/federation/v1/enroll", "/federation/v1/ca/crl/{issuer}", "other"}
    enroll = "/federation/v1/enroll"
    for status in ("201", "410", "400"):
        assert value(series, "mosaic_http_requests_total", route=enroll, status=status) == 1
    assert value(series, "mosaic_http_request_duration_seconds_count") == 8
    for outcome in ("issued", "token_spent", "request_malformed"):
        assert value(series, "mosaic_enrollments_total", outcome=outcome) == 1
    count = "mosaic_ca_request_duration_seconds_count"
    assert value(series, count, call="sign", outcome="ok") == 2  # one is the server's own


def test_authorize_counts_its_decisions_by_code(rows: Rows) -> None:
    certificate = certify(rows, "beta-tasks")
    with serving_private(rows.url) as running, running.client() as client:
        for headers in (certificate.headers(), make_certificate().headers(), {}):
            client.get("/authorize/x", headers=headers)
        client.get("/authorize")
        client.get("/livez")
        client.get("/anything")
        series = samples(client.get("/metrics").text)
    decisions = "mosaic_authority_decisions_total"
    assert {dict(labels)["code"]: count for labels, count in series[decisions].items()} == {
        "allowed": 1,
        "certificate_unknown": 1,
        "certificate_missing": 2,
    }
    requests = "mosaic_http_requests_total"
    assert value(series, requests, route="/authorize", status="401") == 2
    assert value(series, requests, route="/livez", status="200") == 1
    assert value(series, requests, route="other", status="404") == 1


def test_metrics_ask_for_the_token_and_a_host_of_ours_and_are_only_read(database_url: str) -> None:
    access = Access(TOKEN.encode())
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with serving_private(database_url, access) as running, running.client() as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=bearer | {"Host": "a.example"}).status_code == 421
        refused = client.post("/metrics", headers=bearer)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        assert client.get("/metrics/", headers=bearer).status_code == 404
        answer = client.get("/metrics", headers=bearer)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
