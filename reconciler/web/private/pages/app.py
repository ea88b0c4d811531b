"""The pages as an application: which path shows what, as HTML, and as JSON below `.json`."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.responses import Response

from reconciler.core.model.text import json_text
from reconciler.errors import Refused, Retry
from reconciler.store.drift.detector import DriftDetector
from reconciler.web.private.pages import documents
from reconciler.web.private.pages.query import Query
from reconciler.web.private.pages.rendering import STATIC, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope

    from reconciler.store.db import Database
    from reconciler.web.problems import PublicProblem

    Document = dict[str, Any]

METHODS: Final = ("GET", "HEAD")
AT_ONCE: Final = 2  # pages that are made: a page of a large gateway takes a core for a while
DEADLINE_S: Final = 20.0  # of a page, with the wait for its turn
STATEMENT_MS: Final = 15_000
SUFFIX: Final = ".json"
# Nothing is loaded but style sheet and icon, nothing is run, and no other site may frame it.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class _Route:
    """A page: its template, its document, and the parameters that its query may have.

    `shows_drift` is of a document that takes the cache of it.
    """

    template: str
    document: Callable[..., Document]
    parameters: tuple[str, ...] = ()
    shows_drift: bool = False


LISTS: Final = {
    "": _Route("overview.html", documents.overview, shows_drift=True),
    "grants": _Route("grants.html", documents.grants, ("q", "status", "peer", "ends", "page")),
    "peers": _Route("peers.html", documents.peers, ("q", "status", "direction", "page")),
    "runs": _Route("runs.html", documents.runs, ("page",)),
    "drift": _Route("drift.html", documents.drift, ("page",), shows_drift=True),
    "audit": _Route("audit.html", documents.audit, ("kind", "subject", "before")),
}
OBJECTS: Final = {
    "grants": _Route("grant.html", documents.grant, ("id",)),
    "peers": _Route("peer.html", documents.peer, ("id",)),
    "runs": _Route("run.html", documents.run, ("page",)),
}


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a database, which they only read."""

    database: Database
    cache: DriftDetector = field(default_factory=DriftDetector)
    # Threads of their own: a database that hangs keeps them, and not those that enrollments need.
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pages")
    )

    async def respond(self, scope: Scope) -> Response:
        """Return the page of a request.

        Raises:
            Refused: `not_found`, `method_not_allowed`, `request_malformed`.
            Retry: `database_unavailable`, `unavailable`.
        """
        path = scope["path"]
        if path in STATIC:
            _require_reading(scope)
            content, media_type = STATIC[path]
            return Response(content, headers=HEADERS, media_type=media_type)
        route, name = _route(path)
        _require_reading(scope)
        query = Query.parse(scope["query_string"], route.parameters)
        try:
            async with asyncio.timeout(DEADLINE_S):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(
                    self.threads, self._page, path, route, query, name
                )
        except TimeoutError:
            raise Retry(
                "unavailable", f"the page was not ready within {DEADLINE_S:.0f} s"
            ) from None

    def _page(self, path: str, route: _Route, query: Query, name: str) -> Response:
        arguments = [*([name] if name else []), *([self.cache] if route.shows_drift else [])]
        try:
            with self.database.transaction() as tx:
                tx.run("SET TRANSACTION READ ONLY")
                tx.run(f"SET LOCAL statement_timeout = {STATEMENT_MS}")
                document = route.document(tx, query, *arguments)
        except Refused as error:
            if error.code != "name_unknown":
                raise
            raise Refused("not_found", error.message, hint=error.hint) from None
        if path.endswith(SUFFIX):
            body = json_text(document, indent=2)
            return Response(body, headers=HEADERS, media_type="application/json")
        json_path = f"{quote(path) if path != '/' else '/index'}{SUFFIX}{query.link()}"
        html = render(route.template, doc=document, query=query, path=path, json_path=json_path)
        return Response(html, headers=HEADERS, media_type="text/html")


def shows(scope: Scope) -> bool:
    """Tell whether a person asks, so that an error is to be a page too."""
    path = scope["path"]
    if path.endswith(SUFFIX):
        return False
    accepted = [value for name, value in scope["headers"] if name == b"accept"]
    first = path.split("/")[1] if path.startswith("/") else None
    return first in LISTS or any(b"text/html" in each for each in accepted)


def is_page(path: str) -> bool:
    """Tell whether a path is that of a page, or of what a page loads."""
    try:
        return path in STATIC or _route(path) is not None
    except Refused:
        return False


def error_page(
    problem: PublicProblem, correlation_id: str, headers: dict[str, str] | None
) -> Response:
    """Return the page of an error."""
    phrase = HTTPStatus(problem.status).phrase
    html = render("error.html", problem=problem, phrase=phrase, correlation_id=correlation_id,
                  path="", json_path=None)  # fmt: skip
    retry = problem.retry_after_s
    wait = {"Retry-After": str(retry)} if retry is not None else {}
    merged = {**HEADERS, **wait, **(headers or {})}
    return Response(html, problem.status, headers=merged, media_type="text/html")


def _route(path: str) -> tuple[_Route, str]:
    """Return what a path shows, and the name of the object; raise `Refused`: `not_found`."""
    if path == "/index.json":
        return LISTS[""], ""
    first, slash, name = path.removesuffix(SUFFIX).removeprefix("/").partition("/")
    is_json = path.endswith(SUFFIX)
    if not slash and first in LISTS and (first or not is_json):
        return LISTS[first], ""
    if first in OBJECTS and name and "/" not in name and name.isprintable():
        return OBJECTS[first], name
    raise Refused("not_found", "there is no such page on the private listener")


def _require_reading(scope: Scope) -> None:
    if scope["method"] not in METHODS:
        raise Refused("method_not_allowed", "a page can be read, with GET or HEAD")
