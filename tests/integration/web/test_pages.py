"""The pages of the private listener: what they show, to whom, and that their JSON has the same."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler.core.model.text import escaped
from reconciler.core.privileges import READING, Role
from reconciler.store.db import Tx
from reconciler.store.drift.detector import DriftDetector
from reconciler.store.drift.repair import drifted, revert
from reconciler.store.roles.making import make_roles
from reconciler.store.views.grants import show_grant
from reconciler.web.private.access import Access
from reconciler.web.private.pages import documents
from reconciler.web.private.pages.query import Query
from tests.support.database.roles import session
from tests.support.gateways.certified import Certified, certify
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.gateways.private_server import PrivateRunning, serving_private
from tests.support.metrics import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

LISTS: Final = ("/grants", "/peers")
OBJECTS: Final = ("/", "/grants/beta-tasks", "/peers/beta", "/runs", "/drift", "/audit")
PAGES: Final = (*OBJECTS, *LISTS)


@pytest.fixture(scope="module")
def rows(shared_database_url: str) -> Rows:
    return Rows(shared_database_url)


@pytest.fixture(scope="module")
def certificate(rows: Rows) -> Certified:
    rows.apply(peer_manifest(), grant_manifest("beta-tasks", rows=400), grant_manifest("beta-old"))
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    return certify(rows, "beta-tasks")


@pytest.fixture(scope="module")
def private(rows: Rows, certificate: Certified) -> Iterator[PrivateRunning]:
    with serving_private(rows.url) as running:
        yield running


@pytest.fixture(scope="module")
def client(private: PrivateRunning) -> Iterator[httpx.Client]:
    with private.client() as made:
        yield made


class Text(HTMLParser):
    """Everything that a reader of the page can get at: its text, and the values of attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts += [value for _, value in attrs if value]

    @property
    def whole(self) -> str:
        return "\n".join(self.parts)


def json_path(path: str) -> str:
    return "/index.json" if path == "/" else f"{path}.json"


def leaves(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for each in value.values():
                yield from leaves(each)
        case list():
            for each in value:
                yield from leaves(each)
        case str() | int() if not isinstance(value, bool):
            yield str(value)


@pytest.mark.parametrize("path", OBJECTS)
def test_a_page_shows_all_that_its_json_has(client: httpx.Client, path: str) -> None:
    document = client.get(json_path(path)).json()
    text = Text(client.get(path).text).whole

    document.pop("now")
    missing = [
        leaf
        for leaf in leaves(document)
        if escaped(leaf) not in text and json.dumps(leaf)[1:-1] not in text
    ]
    assert not missing


@pytest.mark.parametrize("path", LISTS)
def test_a_list_shows_each_row_of_its_json(client: httpx.Client, path: str) -> None:
    document = client.get(json_path(path)).json()
    text = Text(client.get(path).text).whole

    rows = document[path.strip("/")]
    assert rows
    names = ("name", "status", "peer", "subjectUserId", "displayName", "direction")
    for row in rows:
        assert all(row[name] in text for name in names if name in row)


def test_a_grant_is_the_document_of_grant_show_with_its_story(
    client: httpx.Client, rows: Rows, certificate: Certified
) -> None:
    document = client.get("/grants/beta-tasks.json").json()

    with rows.database.transaction() as tx:
        shown = show_grant(tx, "beta-tasks").as_json()
    assert {name: document[name] for name in shown} == shown
    assert document["scopeInWords"] == [
        "May list and get tasks of every team and of maria@alpha.example personally.",
        "One query returns at most 500 rows.",
    ]
    assert certificate.serial in client.get("/grants/beta-tasks").text
    assert document["history"][0]["kind"] == "token.minted"
    assert document["history"][-1]["kind"] == "grant.created"


def test_a_run_shows_the_changes_of_its_plan(client: httpx.Client) -> None:
    newest, oldest = client.get("/runs.json").json()["runs"]
    summary = {"create": 0, "update": 1, "replace": 0, "revoke": 1, "unchanged": 1}
    assert newest["summary"] == summary

    document = client.get(f"/runs/{newest['id']}.json").json()
    changes = [(each["kind"], each["subject"]) for each in document["changes"]]
    assert changes == [("grant.revoked", "grant/beta-old"), ("grant.updated", "grant/beta-tasks")]
    assert document["changes"][1]["fields"] == [
        {"path": "scope.maxRowsPerQuery", "old": 400, "new": 500, "effect": "widens"}
    ]
    assert "widens" in client.get(f"/runs/{newest['id']}").text
    assert client.get(f"/runs/{oldest['id']}.json").json()["total"] == 3


def test_ten_thousand_grants_have_pages(database_url: str) -> None:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    columns = "peer_id, subject_user_id, scope, suspended, protect, lifetime, expires_at, managed"
    rows.tamper(
        f"INSERT INTO federation_grants (id, name, {columns}, spec_digest) SELECT"
        f" gen_random_uuid(), 'many-' || to_char(n, 'FM00000'), {columns}, spec_digest"
        " FROM federation_grants, generate_series(1, 9999) AS n"
    )
    with serving_private(database_url) as running, running.client() as client:
        first = client.get("/grants.json").json()
        assert (first["total"], first["page"], first["pages"]) == (10_000, 1, 200)
        names = [each["name"] for each in first["grants"]]
        assert names == ["beta-tasks", *(f"many-{n:05}" for n in range(1, 50))]
        last = client.get("/grants.json?page=200").json()
        names = [each["name"] for each in last["grants"]]
        assert names == [f"many-{n:05}" for n in range(9950, 10_000)]
        assert client.get("/grants.json?page=999").json()["page"] == 200

        page = client.get("/grants?page=100&peer=beta").text
        assert 'href="/grants?page=99&amp;peer=beta"' in page
        assert 'href="/grants?page=101&amp;peer=beta"' in page
        assert page.count("<tr") == 51

        some = client.get("/grants.json?q=MANY-0123").json()
        assert [each["name"] for each in some["grants"]] == [f"many-0123{n}" for n in range(10)]
        assert client.get("/grants.json?q=many_0123").json()["total"] == 0  # it is no pattern


def test_drift_is_shown_at_once_and_gone_once_it_is_reverted(database_url: str) -> None:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    with serving_private(database_url) as running, running.client() as client:
        assert client.get("/index.json").json()["drift"]["count"] == 0
        rows.run("UPDATE federation_grants SET subject_user_id = 'mallory'")
        assert client.get("/index.json").json()["drift"]["count"] == 1
        (drift,) = client.get("/drift.json").json()["drift"]
        (field,) = drift["fields"]
        assert (field["applied"], field["found"]) == ("maria@alpha.example", "mallory")
        assert "mallory" in client.get("/drift").text
        rows.run("UPDATE federation_peers SET display_name = 'Mallory'")
        assert client.get("/index.json").json()["drift"]["count"] == 2
        with rows.database.transaction() as tx:
            revert(tx, drifted(tx), "user:tests")
        assert client.get("/drift.json").json()["drift"] == []
        assert client.get("/index.json").json()["drift"]["count"] == 0
        rows.run(
            "UPDATE federation_control SET restored = jsonb_build_object('by', 'user:<b>',"
            " 'at', '2026-11-28T09:30:00Z')"
        )
        page = client.get("/").text
        assert "Not serving: the gateway was restored and is not confirmed" in page
        assert "user:&lt;b&gt;" in page
        assert client.get("/index.json").json()["restore"]["state"] == "restored"


@pytest.mark.parametrize("role", READING)
def test_every_role_that_reads_rows_can_show_every_page(
    role: Role, rows: Rows, certificate: Certified
) -> None:
    with rows.database.transaction() as tx:
        make_roles(tx)
    with session(rows.url, role) as connection:
        tx = Tx(connection)
        for show in (documents.grants, documents.peers, documents.runs, documents.audit):
            assert show(tx, Query({}))
        assert documents.overview(tx, Query({}), DriftDetector())["applied"]
        assert documents.drift(tx, Query({}), DriftDetector())["drift"]  # `certify` writes by hand
        assert documents.grant(tx, Query({}), "beta-tasks")["certificates"]
        assert documents.peer(tx, Query({}), "beta")["grants"] == ["beta-tasks"]
        run = documents.runs(tx, Query({}))["runs"][0]
        assert documents.run(tx, Query({}), run["id"])["changes"]


@pytest.mark.parametrize(
    "path", ["/grants/nobody", "/peers/nobody", "/runs/x", "/nowhere", "/grants/a/b"]
)
def test_an_unknown_page_is_a_404_page_for_people_and_a_problem_for_programs(
    client: httpx.Client, path: str
) -> None:
    page = client.get(path, headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "not_found" in page.text

    problem = client.get(f"{path}.json", headers={"Accept": "text/html"})
    assert (problem.status_code, problem.json()["code"]) == (404, "not_found")


def test_an_unknown_grant_names_the_nearest(client: httpx.Client) -> None:
    assert "did you mean &#39;beta-tasks&#39;?" in client.get("/grants/beta-task").text


@pytest.mark.parametrize("path", ["/grants/beta-tasks", "/peers/beta"])
def test_a_known_name_with_an_unknown_id_is_told_as_that(client: httpx.Client, path: str) -> None:
    other = "00000000-0000-0000-0000-000000000000"
    answer = client.get(f"{path}.json", params={"id": other})
    assert (answer.status_code, other in answer.json()["detail"]) == (404, True)
    assert "did you mean" not in answer.json()["detail"]


def test_a_target_that_takes_no_notices_is_on_the_overview(
    client: httpx.Client, rows: Rows
) -> None:
    rows.run(
        "INSERT INTO federation_notice_targets (name, kind, events, position, attempts, last_error,"
        " last_error_at, given_up, given_up_at) VALUES ('ops', 'webhook', '{applied}', 0, 3,"
        " 'answered <b>500</b>', now(), 7, now())"
    )
    try:
        html = client.get("/").text
    finally:
        rows.run("DELETE FROM federation_notice_targets")
    text = Text(html).whole
    for each in ("ops", "answered <b>500</b>", " waiting", "7 notices given up"):
        assert each in text
    assert "Nothing needs attention" not in html


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FOO"])
def test_pages_are_read_and_nothing_else(client: httpx.Client, method: str) -> None:
    refused = client.request(method, "/grants")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    head = client.head("/grants")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "status=gone", "nothing=1", "page=1&page=2", "q=%00", "ends=2"]
)
def test_a_query_that_means_nothing_is_400(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/grants?{query}")
    assert (answer.status_code, "request_malformed" in answer.text) == (400, True)


@pytest.mark.parametrize("path", [*PAGES, "/style.css", "/icon.svg", "/grants.json", "/none"])
def test_no_page_is_cached_framed_or_may_run_anything(client: httpx.Client, path: str) -> None:
    headers = client.get(path, headers={"Accept": "text/html"}).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
    assert "script" not in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_a_wrong_host_is_421(client: httpx.Client) -> None:
    assert client.get("/", headers={"Host": "attacker.example"}).status_code == 421


def test_everything_asks_for_the_token_and_a_browser_for_a_password(rows: Rows) -> None:
    access = Access(b"a-token-of-16-or-more")
    with serving_private(rows.url, access) as running, running.client() as client:
        for path in (*PAGES, "/index.json", "/style.css", "/icon.svg", "/nowhere"):
            refused = client.get(path)
            assert refused.status_code == 401, path
            assert refused.headers["www-authenticate"].startswith("Basic ")
            assert "beta" not in refused.text
        answer = client.get("/grants", auth=("anybody", "a-token-of-16-or-more"))
        assert answer.status_code == 200
        bearer = {"Authorization": "Bearer a-token-of-16-or-more"}
        assert client.get("/grants.json", headers=bearer).status_code == 200


def test_without_the_database_a_page_says_what_to_do() -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    with serving_private(nowhere) as running, running.client() as client:
        page = client.get("/grants")
        assert (page.status_code, "retry-after" in page.headers) == (503, True)
        assert "mosaic federation doctor" in page.text
        problem = client.get("/grants.json")
        assert (problem.status_code, problem.json()["code"]) == (503, "database_unavailable")
        series = samples(client.get("/metrics").text)
        requests = series["mosaic_http_requests_total"]
        assert {dict(labels)["route"] for labels in requests} == {"pages"}
