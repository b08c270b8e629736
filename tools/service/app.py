"""The HTTP interface and the pages, on FastAPI."""

from __future__ import annotations

import asyncio
import csv
import hmac
import io
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from jinja2 import Environment, PackageLoader, select_autoescape
from pydantic import BaseModel, Field

from stadet.engine.errors import UserError
from stadet.tools.service.live import LiveAway, LiveSource
from stadet.tools.service.models import ModelShelf
from stadet.tools.service.queue import Job, JobKind, JobQueue, JobState, new_id
from stadet.tools.service.settings import ServiceSettings
from stadet.tools.service.uploads import ID, TooLarge, drop_uploads, save_upload, take_uploads
from stadet.tools.service.workers import Workers

RESULTS = {
    "detections.jsonl": "application/x-ndjson",
    "tubes.json": "application/json",
    "events.json": "application/json",
    "answers.json": "application/json",
    "steps.json": "application/json",
    "boxed.mp4": "video/mp4",
}
PICTURE = re.compile(r"step\d{2,3}\.jpg")
COOKIE = "stad_token"
EVENT_SECONDS = 0.5


class JobRequest(BaseModel):
    """Body of `POST /api/jobs`."""

    kind: JobKind
    model: str = Field(max_length=500)
    uploads: list[str] = Field(min_length=1, max_length=64)
    threshold: float | None = Field(None, ge=0, le=1)
    window_seconds: float = Field(0, ge=0, le=3600)
    min_seconds: float = Field(1.0, ge=0, le=3600)


def find_job(job_id: str, request: Request) -> Job:
    """The job that a path names."""
    job = request.app.state.queue.get(job_id) if ID.fullmatch(job_id) else None
    if job is None:
        raise HTTPException(404, "no such job")
    return job


FoundJob = Annotated[Job, Depends(find_job)]


def make_app(settings: ServiceSettings) -> FastAPI:
    """The application; its workers run while it does."""
    queue = JobQueue(settings.queue)
    workers = Workers(settings, queue)
    shelf = ModelShelf(settings.models)
    live = LiveSource(settings.live) if settings.live else None
    pages = Environment(
        loader=PackageLoader("stadet.tools.service"), autoescape=select_autoescape(default=True)
    )
    pages.filters["clock"] = _clock

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        workers.start()
        try:
            yield
        finally:
            await asyncio.to_thread(workers.stop)

    app = FastAPI(
        title="stad",
        version=version("stadet"),
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )

    app.state.settings, app.state.queue = settings, queue

    @app.exception_handler(UserError)
    async def user_error(_: Request, error: UserError) -> JSONResponse:
        status = 413 if isinstance(error, TooLarge) else 422
        return JSONResponse({"detail": str(error)}, status)

    @app.middleware("http")
    async def headers(request: Request, call_next: Any) -> Response:
        refused = _refusal(request, settings)
        response = refused if refused is not None else await call_next(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Content-Security-Policy"] = (
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            "form-action 'self'; base-uri 'none'"
        )
        return response

    def page(name: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(pages.get_template(name).render(**values, version=app.version))

    @app.get("/health", response_class=PlainTextResponse)
    async def health() -> str:
        return "ok"

    @app.get("/api/models")
    def models() -> list[dict[str, object]]:
        return [entry.public() for entry in shelf.entries()]

    @app.post("/api/uploads", status_code=201)
    async def upload(request: Request, name: str = "video.mp4") -> dict[str, str]:
        """Upload a video: its bytes are the body, `name` is its file name."""
        declared = request.headers.get("content-length", "")
        upload_id = await save_upload(
            settings.uploads,
            name,
            request.stream(),
            int(settings.upload_mb * 2**20),
            int(declared) if declared.isdecimal() else None,
        )
        return {"id": upload_id}

    @app.post("/api/jobs", status_code=201)
    def add_job(wanted: JobRequest) -> dict[str, Any]:
        """Queue a job over uploads; each upload is used once."""
        model = shelf.find(wanted.model)
        if (model.kind == "detector") != (wanted.kind is JobKind.DETECT):
            raise UserError(f"model {model.name}: a {model.kind} cannot do {wanted.kind.value}")
        if wanted.kind is JobKind.DETECT and len(wanted.uploads) != 1:
            raise UserError("detect: expected one video a job")
        job_id = new_id()
        folder = settings.jobs / job_id
        try:
            inputs = take_uploads(settings.uploads, wanted.uploads, folder / "inputs")
            options = {
                "threshold": wanted.threshold,
                "window_seconds": wanted.window_seconds,
                "min_seconds": wanted.min_seconds,
            }
            queue.add(job_id, wanted.kind, model.name, options, inputs)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise  # the uploads are still there
        drop_uploads(settings.uploads, wanted.uploads)
        added = queue.get(job_id)
        assert added is not None
        return added.public()

    @app.get("/api/jobs")
    def list_jobs() -> dict[str, Any]:
        return {"counts": queue.counts(), "jobs": [job.public() for job in queue.jobs()]}

    @app.get("/api/jobs/{job_id}")
    def show_job(job: FoundJob) -> dict[str, Any]:
        return {**job.public(), "results": _results(settings.jobs / job.id)}

    @app.get("/api/jobs/{job_id}/events")
    async def follow_job(job: FoundJob) -> StreamingResponse:
        """Progress as server-sent events, until the job has ended."""

        async def events() -> AsyncIterator[str]:
            last = None
            while True:
                found = await asyncio.to_thread(queue.get, job.id)
                if found is None:
                    return
                shown = json.dumps(found.public())
                if shown != last:
                    yield f"data: {shown}\n\n"
                    last = shown
                if found.state.final:
                    return
                await asyncio.sleep(EVENT_SECONDS)

        return StreamingResponse(
            events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    @app.post("/api/jobs/{job_id}/cancel")
    def cancel_job(job: FoundJob, request: Request) -> dict[str, Any]:
        cancelled = workers.cancel(job.id)
        present = find_job(job.id, request)
        if not cancelled:
            raise HTTPException(409, f"the job has ended already ({present.state.value})")
        return present.public()

    @app.delete("/api/jobs/{job_id}", status_code=204)
    def delete_job(job: FoundJob) -> Response:
        if not workers.delete(job.id):
            raise HTTPException(409, "the job goes on; cancel it first")
        return Response(status_code=204)

    @app.get("/api/jobs/{job_id}/results/{name}")
    def result(job: FoundJob, name: str) -> Response:
        """A result; videos answer range requests. `events.csv` and `answers.csv` are tables."""
        folder = settings.jobs / job.id / "results"
        if name in ("events.csv", "answers.csv"):
            return _table(folder / f"{Path(name).stem}.json", name)
        if name not in RESULTS and not PICTURE.fullmatch(name):
            raise HTTPException(404, "no such result")
        if job.state is not JobState.DONE or not (folder / name).is_file():
            raise HTTPException(404, "no such result")
        kind = RESULTS.get(name, "image/jpeg")
        return FileResponse(folder / name, media_type=kind, content_disposition_type="inline")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        kinds = {"page.css": "text/css", "page.js": "text/javascript"}
        if name not in kinds:
            raise HTTPException(404)
        content = files("stadet.tools.service").joinpath("static", name).read_text(encoding="utf-8")
        return Response(content, media_type=kinds[name])

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)  # reports of runs name none

    @app.get("/", response_class=HTMLResponse)
    def home() -> HTMLResponse:
        return page("home.html", models=shelf.entries(), jobs=queue.jobs(50), steps=False)

    @app.get("/handwash", response_class=HTMLResponse)
    def handwash() -> HTMLResponse:
        jobs = [job for job in queue.jobs() if job.kind is JobKind.STEPS]
        return page("home.html", models=shelf.entries(), jobs=jobs[:50], steps=True)

    @app.get("/jobs/{job_id}", response_class=HTMLResponse)
    def job_page(job: FoundJob) -> HTMLResponse:
        folder = settings.jobs / job.id / "results"
        loaded = {
            name: _read_json(folder / f"{name}.json") for name in ("events", "answers", "steps")
        }
        seconds = max([1.0, *(row["end"] for row in loaded["events"])])
        return page(
            "job.html",
            job=job,
            seconds=seconds,
            classes=sorted({row["class"] for row in loaded["events"]}),
            results=_results(settings.jobs / job.id),
            **loaded,
        )

    async def cameras() -> dict[str, dict[str, Any]]:
        if live is None:
            raise LiveAway
        return await live.status()

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

    @app.get("/live", response_class=HTMLResponse)
    async def live_page() -> HTMLResponse:
        try:
            found = await cameras()
        except LiveAway:
            found = None
        return page("live.html", cameras=found, configured=live is not None)

    @app.get("/runs", response_class=HTMLResponse)
    def runs() -> HTMLResponse:
        return page("runs.html", runs=sorted(_runs(settings.runs)))

    @app.get("/runs/{run:path}", response_class=HTMLResponse)
    def run_report(run: str) -> Response:
        places = _runs(settings.runs)
        if run not in places:
            raise HTTPException(404, "no such run")
        return FileResponse(places[run], media_type="text/html")

    @app.post("/login")
    async def login(request: Request) -> Response:
        body = (await request.body())[:4096].decode(errors="replace")
        given = body.removeprefix("token=").strip()
        if not _same(given, settings.token):
            return page("login.html", wrong=True)
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, given, httponly=True, samesite="strict")
        return response

    @app.get("/login", response_class=HTMLResponse)
    def login_page() -> HTMLResponse:
        return page("login.html", wrong=False)

    return app


def _refusal(request: Request, settings: ServiceSettings) -> Response | None:
    """Why a request is not answered: no token, or sent by another site's page."""
    path = request.url.path
    origin = request.headers.get("origin")
    if request.method not in ("GET", "HEAD") and origin:
        host = origin.partition("://")[2]
        if host != request.headers.get("host"):
            return JSONResponse({"detail": "refused: sent from another site"}, 403)
    if not settings.token or path in ("/health", "/login") or path.startswith("/static/"):
        return None
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if _same(bearer, settings.token) or _same(request.cookies.get(COOKIE, ""), settings.token):
        return None
    if path.startswith("/api/"):
        return JSONResponse({"detail": "expected the header Authorization: Bearer TOKEN"}, 401)
    return RedirectResponse("/login", 303)


def _same(given: str, wanted: str | None) -> bool:
    return wanted is not None and hmac.compare_digest(given.encode(), wanted.encode())


def _results(folder: Path) -> list[str]:
    """Names of what a job has made."""
    places = folder / "results"
    made = [name for name in RESULTS if (places / name).is_file()]
    tables = [f"{Path(name).stem}.csv" for name in made if name in ("events.json", "answers.json")]
    return [*made, *tables]


def _read_json(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _table(path: Path, name: str) -> Response:
    """Rows of a result as CSV; cells that a spreadsheet would compute are quoted."""
    rows = _read_json(path)
    if not path.is_file():
        raise HTTPException(404, "no such result")
    stream = io.StringIO()
    columns = list(rows[0]) if rows else ["class", "start", "end", "score"]
    writer = csv.writer(stream)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(stream.getvalue(), media_type="text/csv", headers=headers)


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _runs(folder: Path | None) -> dict[str, Path]:
    """Reports below a folder of runs by the run's name."""
    if folder is None:
        return {}
    found = folder.resolve().rglob("report/report.html")
    return {path.parent.parent.relative_to(folder.resolve()).as_posix(): path for path in found}


def _clock(seconds: float) -> str:
    """``1:02.5``"""
    minutes, rest = divmod(float(seconds), 60)
    return f"{int(minutes)}:{rest:04.1f}"
