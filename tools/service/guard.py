"""Which requests are answered at all: who sends them, from where, and how long their bodies are."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from urllib.parse import parse_qs

from fastapi import Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stadet.engine.addresses import names_loopback
from stadet.tools.service.settings import ServiceSettings

COOKIE = "stad_token"
UPLOAD = "/api/uploads"  # streamed to disk, under limits of its own
MOST_BODY = 2**20  # bytes of any other request
BODY_SECONDS = 30.0


def refusal(request: Request, settings: ServiceSettings) -> Response | None:
    """Why a request is not answered: no token, or sent by another site's page."""
    path, host = request.url.path, request.headers.get("host", "")
    origin = request.headers.get("origin")
    if request.method not in ("GET", "HEAD") and origin and origin.partition("://")[2] != host:
        return JSONResponse({"detail": "refused: sent from another site"}, 403)
    if not settings.token:
        if not names_loopback(host):
            return JSONResponse(
                {
                    "detail": "refused: expected localhost or 127.0.0.1 as the host; other names "
                    "need stad serve with a token"
                },
                403,
            )
        return None
    if path in ("/health", "/login") or path.startswith("/static/"):
        return None
    given = request.headers.get("authorization", "")
    # header bytes come as Latin-1; a token may hold any letters
    bearer = given.removeprefix("Bearer ").strip().encode("latin-1", "replace")
    cookie = request.cookies.get(COOKIE, "").encode("utf-8", "replace")
    if hmac.compare_digest(bearer, settings.token.encode("utf-8", "replace")):
        return None
    if hmac.compare_digest(cookie, cookie_value(settings.token).encode()):
        return None
    if path.startswith("/api/"):
        return JSONResponse(
            {"detail": "expected the header Authorization: Bearer TOKEN"},
            401,
            {"WWW-Authenticate": "Bearer"},
        )
    return RedirectResponse("/login", 303)


def cookie_value(token: str) -> str:
    """What a browser keeps: it shows that the token was known, and does not tell it."""
    key = token.encode("utf-8", "replace")
    return hmac.new(key, b"stad serve", hashlib.sha256).hexdigest()


def token_of_form(body: bytes) -> str:
    """The token that a page's form sent."""
    return parse_qs(body.decode(errors="replace"), max_num_fields=8).get("token", [""])[0]


def is_token(given: str, wanted: str | None) -> bool:
    """Whether a token is the right one, in a time that tells nothing."""
    if wanted is None:
        return False
    return hmac.compare_digest(
        given.strip().encode("utf-8", "replace"), wanted.encode("utf-8", "replace")
    )


class BodyLimit:
    """Reads the bodies of all requests but uploads at once, and refuses long or slow ones."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bare = scope["type"] != "http" or scope["method"] in ("GET", "HEAD")
        if bare or scope["path"] == UPLOAD:
            await self._app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(_read(receive), BODY_SECONDS)
        except asyncio.TimeoutError:
            answer = JSONResponse({"detail": f"expected the body within {BODY_SECONDS:g} s"}, 408)
            await answer(scope, receive, send)
            return
        if body is None:
            answer = JSONResponse({"detail": f"expected a body of at most {MOST_BODY} bytes"}, 413)
            await answer(scope, receive, send)
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


async def _read(receive: Receive) -> bytes | None:
    """A whole body; None above the limit. One that breaks off counts as whole."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            return None
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)
