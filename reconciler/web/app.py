"""The application: every call of the contract (docs/http.md), each a few lines over the stories."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from reconciler import enroll as stories
from reconciler.core.issuance.invitation import API_PREFIX
from reconciler.crypto.csr import parse_csr
from reconciler.errors import Refused, Retry
from reconciler.store.backup.database_identity import refuse_if_restored
from reconciler.store.schema import require_current_in
from reconciler.web.invitation_page import ENROLL_PAGE, PAGE_HEADERS
from reconciler.web.metrics.definitions import ISSUED
from reconciler.web.middleware import UNANSWERED, GatewayMiddleware, request_context
from reconciler.web.openapi import openapi_document
from reconciler.web.problems import problem_response, public_problem
from reconciler.web.requests import bearer_token, json_body, proof
from reconciler.web.revocation_lists import RevocationLists

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from reconciler.enroll import Gateway
    from reconciler.store.db import Tx
    from reconciler.web.limits import Limits

READY_DEADLINE_S: Final = 5.0
READY_CACHE_S: Final = (
    1.0  # a result is reused for so long, so that probes do not load the database
)
CONFIRMED_S: Final = 1.0  # as long; a restore waits longer before the rows are there
CACHED: Final = {"Cache-Control": "public, max-age=60"}

_KEY_ID: Final = re.compile(r"[0-9a-f]{2,64}", re.ASCII)


def make_app(gateway: Gateway, limits: Limits) -> Starlette:
    """Return the application of one gateway. It holds nothing that another replica would need."""
    calls = _Calls(gateway)
    app = Starlette(
        routes=[
            Route(f"{API_PREFIX}/enroll", calls.enroll, methods=["GET", "POST"]),
            Route(f"{API_PREFIX}/certificates/pickup", calls.pickup, methods=["POST"]),
            Route(f"{API_PREFIX}/certificates/renew", calls.renew, methods=["POST"]),
            Route(f"{API_PREFIX}/grant", calls.grant),
            Route(f"{API_PREFIX}/ca/roots", calls.roots),
            Route(f"{API_PREFIX}/ca/crl", calls.crl),
            Route(f"{API_PREFIX}/ca/crl/{{issuer}}", calls.crl),
            Route(f"{API_PREFIX}/openapi.json", calls.openapi),
            Route("/healthz", calls.health),
            Route("/readyz", calls.ready),
        ],
        middleware=[Middleware(GatewayMiddleware, gateway=gateway, limits=limits)],
        exception_handlers={HTTPException: calls.not_routed},
    )
    app.router.redirect_slashes = False
    return app


class _Calls:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._lists = RevocationLists()
        self._openapi = json.dumps(openapi_document(), ensure_ascii=False)
        self._ready_until_s = 0.0
        self._confirmed_until_s = 0.0

    async def enroll(self, request: Request) -> Response:
        address = request_context(request).address
        if request.method == "POST":
            with self._counted():
                body = await json_body(request, "csr")
                token = bearer_token(request)
                await self._require_confirmed()
                csr = parse_csr(body["csr"])
                issued = await stories.enroll(self._gateway, token, csr, address)
            return _issued(issued.body, 201)
        if "authorization" not in request.headers:
            return HTMLResponse(ENROLL_PAGE, headers=PAGE_HEADERS)
        token = bearer_token(request)
        await self._require_confirmed()
        state = await stories.token_status(self._gateway, token)
        return JSONResponse(state.as_json())

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count how a request to enroll ends."""
        outcome = UNANSWERED
        try:
            yield
            outcome = ISSUED
        except ClientDisconnect:
            raise
        except Exception as error:
            outcome = public_problem(error).code
            raise
        finally:
            self._gateway.telemetry.enrollment(outcome)

    async def pickup(self, request: Request) -> Response:
        await json_body(request)
        await self._require_confirmed()
        issued = await stories.pickup(self._gateway, proof(request))
        return _issued(issued.body, 200)

    async def renew(self, request: Request) -> Response:
        body = await json_body(request, "csr")
        await self._require_confirmed()
        presented_proof, csr = proof(request), parse_csr(body["csr"])
        address = request_context(request).address
        issued = await stories.renew(self._gateway, presented_proof, csr, address)
        return _issued(issued.body, 201)

    async def grant(self, request: Request) -> Response:
        await self._require_confirmed()
        grant = await stories.grant_of_proof(self._gateway, proof(request))
        return JSONResponse(grant.as_json())

    async def roots(self, _request: Request) -> Response:
        bundle = "".join(f"{root.strip()}\n" for root in self._gateway.roots)
        return Response(bundle, headers=CACHED, media_type="application/pem-certificate-chain")

    async def crl(self, request: Request) -> Response:
        issuer = request.path_params.get("issuer")
        if issuer is not None and not _KEY_ID.fullmatch(issuer):
            raise Refused("not_found", "an issuer is named by its key id, in lower-case hex")
        der = await self._lists.newest(self._gateway.database, issuer)
        if der is None:
            raise Retry("crl_unavailable", "the database holds no revocation list of this issuer")
        return Response(der, headers=CACHED, media_type="application/pkix-crl")

    async def openapi(self, _request: Request) -> Response:
        return Response(self._openapi, headers=CACHED, media_type="application/json")

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        if time.monotonic() >= self._ready_until_s:
            try:
                async with asyncio.timeout(READY_DEADLINE_S):
                    await self._gateway.database.run(_require_ready)
            except TimeoutError:
                raise Retry(
                    "database_unavailable", f"no answer within {READY_DEADLINE_S:.0f} s"
                ) from None
            self._ready_until_s = time.monotonic() + READY_CACHE_S
        return JSONResponse({"status": "ready"})

    async def _require_confirmed(self) -> None:
        """Raise `Retry` (`restored`) while nobody has confirmed a restore of the rows."""
        if time.monotonic() >= self._confirmed_until_s:
            await self._gateway.database.run(refuse_if_restored)
            self._confirmed_until_s = time.monotonic() + CONFIRMED_S

    async def not_routed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        refusal = Refused(
            "not_found", "there is no such path", hint=f"see {API_PREFIX}/openapi.json"
        )
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            refusal = Refused("method_not_allowed", f"this path takes {allowed}")
        return problem_response(
            public_problem(refusal),
            request_context(request).correlation_id,
            self._gateway.clock(),
            error.headers,
        )


def _require_ready(tx: Tx) -> None:
    require_current_in(tx)
    refuse_if_restored(tx)


def _issued(body: str, status: int) -> Response:
    # the stored text, unparsed: a pickup answers with the same bytes as the answer before it
    return Response(body, status, media_type="application/json")
