"""The page and the interface of the cameras of a running `stad live`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from stadet.tools.service.live import LiveAway, LiveSource


def add_live_routes(
    app: FastAPI, live: LiveSource | None, page: Callable[..., HTMLResponse]
) -> Callable[[], Awaitable[list[str]]]:
    """Add page and interface to an application.

    Args:
        app: the application.
        live: the cameras; None where the service has none.
        page: makes a page of a template's name and values.

    Returns:
        Asks for the names of the cameras; none where `stad live` does not answer.
    """

    async def cameras() -> dict[str, dict[str, Any]]:
        if live is None:
            raise LiveAway
        return await live.status()

    async def names() -> list[str]:
        try:
            return list(await cameras())
        except LiveAway:
            return []

    @app.exception_handler(LiveAway)
    async def live_away(_: Request, error: LiveAway) -> JSONResponse:
        return JSONResponse({"detail": "no live cameras answer"}, 503)

    @app.get("/api/live")
    async def live_status() -> dict[str, dict[str, Any]]:
        """Figures of the live cameras by name: latency, frames a second, what was dropped."""
        return await cameras()

    @app.get("/api/live/{name}")
    async def live_pictures(name: str) -> StreamingResponse:
        """The pictures of a live camera as multipart JPEG."""
        if name not in await cameras() or live is None:
            raise HTTPException(404, "no such camera")
        return StreamingResponse(
            live.pictures(name),
            media_type="multipart/x-mixed-replace; boundary=frame",
            headers={"Cache-Control": "no-store"},
        )

    @app.get("/api/live/{name}/frame", response_class=Response)
    async def live_frame(name: str) -> Response:
        """The newest picture of a live camera as JPEG."""
        if name not in await cameras() or live is None:
            raise HTTPException(404, "no such camera")
        jpeg = await live.picture(name)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @app.get("/live", response_class=HTMLResponse)
    async def live_page() -> HTMLResponse:
        try:
            found = await cameras()
        except LiveAway:
            found = None
        counted = await live.counted() if live is not None and found is not None else []
        return page("live.html", cameras=found, configured=live is not None, counted=counted)

    @app.get("/live/counts", response_class=HTMLResponse)
    async def live_counts() -> Response:
        """What `stad live --counts` has counted, as its page."""
        try:
            content = await live.counts_page() if live is not None else None
        except LiveAway:
            content = None
        if content is None:
            raise HTTPException(404, "no running stad live --counts")
        return Response(content, media_type="text/html")

    return names
