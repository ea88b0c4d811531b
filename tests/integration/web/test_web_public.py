"""What the endpoint answers to anybody: the page of an invitation, the roots, and the probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.gateways.web_server import Parts, Running

API = "/federation/v1"


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


def test_a_head_answers_as_the_get_without_its_body(client: httpx.Client) -> None:
    response = client.head(f"{API}/ca/roots")
    assert (response.status_code, response.content) == (200, b"")
    assert client.head(f"{API}/nothing").status_code == 404


def test_the_page_says_what_to_type_and_echoes_nothing(client: httpx.Client) -> None:
    response = client.get(f"{API}/enroll?token=mosf1_secret", headers={"referer": "https://evil"})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"
    assert "mosaic federation peer add '&lt;the whole invitation&gt;'" in response.text
    for absent in ("mosf1_secret", "evil", "<script", "src=", "href="):
        assert absent not in response.text


def test_the_roots_are_the_pinned_ones(client: httpx.Client, web_parts: Parts) -> None:
    response = client.get(f"{API}/ca/roots")
    assert response.headers["content-type"] == "application/pem-certificate-chain"
    assert response.text.split() == "".join(web_parts.roots).split()


def test_probes_answer_while_all_is_well(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
