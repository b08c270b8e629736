"""The HTTP interface and the pages, on FastAPI."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, select_autoescape
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from stadet.engine.errors import UserError
from stadet.tools.service.frame import read_frame
from stadet.tools.service.guard import (
    COOKIE,
    BodyLimit,
    cookie_value,
    is_token,
    refusal,
    token_of_form,
)
from stadet.tools.service.live import LiveSource
from stadet.tools.service.live_routes import add_live_routes
from stadet.tools.service.models import ModelShelf
from stadet.tools.service.queue import Job, JobKind, JobQueue, JobState, new_id
from stadet.tools.service.scene_routes import add_scene_routes
from stadet.tools.service.scenes import SceneShelf
from stadet.tools.service.settings import ServiceSettings
from stadet.tools.service.timeline import axis_ticks, timeline_rows
from stadet.tools.service.uploads import (
    ID,
    MOST_VIDEOS,
    TooLarge,
    TooSlow,
    UploadLimits,
    save_upload,
    taken_uploads,
)
from stadet.tools.service.workers import Workers

RESULTS = {
    "detections.jsonl": "application/x-ndjson",
    "tubes.json": "application/json",
    "events.json": "application/json",
    "video.json": "application/json",
    "answers.json": "application/json",
    "steps.json": "application/json",
    "boxed.mp4": "video/mp4",
}
PICTURE = re.compile(r"step\d{2,3}\.jpg")
ENDLESS = ("follow_job", "live_pictures")  # routes whose answers have no size
EVENT_SECONDS = 0.5
WRONG_TOKEN_SECONDS = 1.0  # before a wrong token is told


class Problem(BaseModel):
    """Body of an answer that refuses a request."""

    detail: str


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
        responses={422: {"model": Problem}},
    )
    app.add_middleware(BodyLimit)  # within the next one, so that strangers' bodies are not read

    app.state.settings, app.state.queue = settings, queue

    @app.exception_handler(UserError)
    async def user_error(_: Request, error: UserError) -> JSONResponse:
        statuses = {TooLarge: 413, TooSlow: 408}
        return JSONResponse({"detail": str(error)}, statuses.get(type(error), 422))

    @app.exception_handler(RequestValidationError)
    async def bad_request(_: Request, error: RequestValidationError) -> JSONResponse:
        """One line like every other error; what was sent is not sent back."""
        found = [
            f"{'.'.join(map(str, row['loc'])) or 'request'}: {row['msg']}" for row in error.errors()
        ]
        return JSONResponse({"detail": "; ".join(found)[:2000]}, 422)

    @app.exception_handler(sqlite3.Error)
    @app.exception_handler(OSError)
    async def no_disk(_: Request, error: Exception) -> JSONResponse:
        reason = getattr(error, "strerror", None) or str(error)
        print(f"stad serve: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return JSONResponse({"detail": f"the service cannot use its files now ({reason})"}, 503)

    @app.middleware("http")
    async def headers(request: Request, call_next: Any) -> Response:
        refused = refusal(request, settings)
        response = refused if refused is not None else await call_next(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Content-Security-Policy"] = (
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            "form-action 'self'; base-uri 'none'"
        )
        return response

    def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
        limit = int(settings.upload_mb * 2**20)
        text = pages.get_template(template).render(
            **values, limit=limit, most=MOST_VIDEOS, version=app.version
        )
        return HTMLResponse(text, status)

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> Response:
        """A page for who looks at pages, else JSON."""
        path = request.url.path
        if path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            return await http_exception_handler(request, error)
        code = error.status_code
        return page(
            "error.html", code, code=code, words=HTTPStatus(code).phrase, detail=error.detail
        )

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
        limits = UploadLimits(
            int(settings.upload_mb * 2**20),
            settings.upload_idle_seconds,
            60 * settings.upload_minutes,
        )
        length = int(declared) if re.fullmatch(r"[0-9]{1,18}", declared) else None
        try:
            upload_id = await save_upload(settings.uploads, name, request.stream(), limits, length)
        except ClientDisconnect as error:  # nobody reads the answer
            raise HTTPException(400, "the upload broke off") from error
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
        options = wanted.model_dump(include={"threshold", "window_seconds", "min_seconds"})
        try:
            with taken_uploads(settings.uploads, wanted.uploads, folder / "inputs") as inputs:
                queue.add(job_id, wanted.kind, model.name, options, inputs)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        added = queue.get(job_id)
        if added is None:
            raise HTTPException(404, "the job was deleted at once")
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
    def delete_job(job: FoundJob, request: Request) -> Response:
        if not workers.delete(job.id):
            present = find_job(job.id, request)  # another request may have deleted it
            raise HTTPException(409, f"the job is {present.state.value}; cancel it first")
        return Response(status_code=204)

    @app.get("/api/jobs/{job_id}/results/{name}")
    def result(job: FoundJob, name: str) -> Response:
        """A result; videos answer range requests. `events.csv` and `answers.csv` are tables."""
        folder = settings.jobs / job.id / "results"
        if job.state is not JobState.DONE:  # what is there may be half of it
            raise HTTPException(404, f"no results: the job is {job.state.value}")
        if name in ("events.csv", "answers.csv"):
            return _table(folder / f"{Path(name).stem}.json", name)
        if name not in RESULTS and not PICTURE.fullmatch(name):
            raise HTTPException(404, "no such result")
        try:
            facts = (folder / name).stat()
        except OSError as error:
            raise HTTPException(404, "no such result") from error
        kind = RESULTS.get(name, "image/jpeg")
        return FileResponse(
            folder / name, media_type=kind, content_disposition_type="inline", stat_result=facts
        )

    @app.get("/api/jobs/{job_id}/frame", response_class=Response)
    def job_frame(
        job: FoundJob,
        video: Annotated[int, Query(ge=0, le=MOST_VIDEOS)] = 0,
        seconds: Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False)] = 0.0,
    ) -> Response:
        """The frame of a done job's video at a time as JPEG; beyond its end the last one."""
        if job.state is not JobState.DONE:  # others' videos may be none
            raise HTTPException(404, f"no frame: the job is {job.state.value}")
        if video >= len(job.inputs):
            raise HTTPException(404, "no such video")
        stored, shown = list(job.inputs.items())[video]
        jpeg = read_frame(settings, settings.jobs / job.id / "inputs" / stored, shown, seconds)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        kinds = {"page.css": "text/css", "page.js": "text/javascript"}
        kinds |= {"scene.css": "text/css", "scene.js": "text/javascript"}
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
        loaded: dict[str, Any] = {
            name: _read_json(folder / f"{name}.json") or []
            for name in ("events", "answers", "steps")
        }
        facts = _read_json(folder / "video.json") or {}
        # an event may end with the last frame's time, a little after the video's own end
        seconds = max([facts.get("seconds", 0.1), *(row["end"] for row in loaded["events"])])
        return page(
            "job.html",
            job=job,
            seconds=seconds,
            rows=timeline_rows(loaded["events"], seconds, facts.get("classes", ())),
            ticks=axis_ticks(seconds),
            results=_results(settings.jobs / job.id),
            **loaded,
        )

    @app.get("/runs", response_class=HTMLResponse)
    def runs() -> HTMLResponse:
        return page("runs.html", runs=sorted(_runs(settings.runs)))

    @app.get("/runs/{run:path}", response_class=HTMLResponse)
    def run_report(run: str) -> Response:
        places = _runs(settings.runs)
        if run not in places:
            raise HTTPException(404, "no such run")
        return FileResponse(places[run], media_type="text/html")

    live = LiveSource(settings.live) if settings.live else None
    live_names = add_live_routes(app, live, page)
    shelf_of_scenes = SceneShelf(settings.scenes) if settings.scenes else None
    add_scene_routes(app, shelf_of_scenes, queue, live_names, page)

    @app.post("/login")
    async def login(request: Request) -> Response:
        if not is_token(token_of_form(await request.body()), settings.token):
            await asyncio.sleep(WRONG_TOKEN_SECONDS)
            return page("login.html", wrong=True, status=401)
        response = RedirectResponse("/", 303)
        assert settings.token is not None
        value = cookie_value(settings.token)
        response.set_cookie(COOKIE, value, httponly=True, samesite="strict")
        return response

    @app.get("/login", response_class=HTMLResponse)
    def login_page() -> HTMLResponse:
        return page("login.html", wrong=False)

    app.openapi()  # kept, so that it names each way once
    for route in app.routes:
        # a download's size may be asked for first; what never ends has none
        if not isinstance(route, APIRoute) or route.name in ENDLESS:
            continue
        if "GET" in (methods := route.methods or set()):
            methods.add("HEAD")
    return app


def _results(folder: Path) -> list[str]:
    """Names of what a job has made."""
    places = folder / "results"
    made = [name for name in RESULTS if (places / name).is_file()]
    tables = [f"{Path(name).stem}.csv" for name in made if name in ("events.json", "answers.json")]
    return [*made, *tables]


def _read_json(path: Path) -> Any:
    """What a job has written; None where it has not."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _table(path: Path, name: str) -> Response:
    """Rows of a result as CSV; cells that a spreadsheet would compute are quoted."""
    rows = _read_json(path)
    if rows is None:
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
