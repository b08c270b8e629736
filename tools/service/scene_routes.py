"""The pages and the interface of scene files: zones and lines to look at and to change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field

from stadet.detect.scene.edit import Shape
from stadet.detect.scene.file import SceneError
from stadet.detect.scene.scene import Scene
from stadet.engine.errors import UserError
from stadet.engine.reading import one_line
from stadet.tools.service.queue import JobQueue, JobState
from stadet.tools.service.scenes import NoScene, SceneChanged, SceneFile, SceneShelf

MOST_POINTS, MOST_SHAPES = 200, 100
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class FoundShape(BaseModel):
    """A zone's corners in order around it, or a line's two ends, in shares of the frame."""

    name: str
    points: list[tuple[float, float]]


class WantedShape(BaseModel):
    """A zone or line as it shall be; `was` is its name in the file, null of a new one."""

    name: str = Field(max_length=200)
    points: list[tuple[Share, Share]] = Field(max_length=MOST_POINTS)
    was: str | None = None


class FoundCamera(BaseModel):
    """A camera; `size` is [height, width] where the file says it."""

    videos: list[str]
    size: tuple[int, int] | None
    zones: list[FoundShape]
    lines: list[FoundShape]


class WantedCamera(BaseModel):
    """All zones and all lines that a camera shall have; what is left out stays."""

    zones: list[WantedShape] | None = Field(None, max_length=MOST_SHAPES)
    lines: list[WantedShape] | None = Field(None, max_length=MOST_SHAPES)


class FoundRule(BaseModel):
    """A rule and the zones and lines that it names."""

    name: str
    kind: str
    camera: str | None
    zones: list[str]
    line: str | None


class FoundScene(BaseModel):
    """A scene file; `digest` is to be sent with changes."""

    name: str
    digest: str
    cameras: dict[str, FoundCamera]
    rules: list[FoundRule]


class WantedScene(BaseModel):
    """Body of `PUT /api/scenes/NAME`; cameras that are left out stay as they are."""

    digest: str = Field(max_length=64)
    cameras: dict[str, WantedCamera] = Field(max_length=MOST_SHAPES)


class SceneProblem(BaseModel):
    """Body of an answer that refuses changes.

    `place` leads from the top of the file to what is wrong, as in ["cameras", "counter", "zones",
    "tray"] or ["rules", "queue"]; it is empty where nothing in the file is.
    """

    detail: str
    place: list[str] = []


class SceneListed(BaseModel):
    """A scene file's name, and what is wrong with it."""

    name: str
    message: str


def add_scene_routes(
    app: FastAPI,
    shelf: SceneShelf | None,
    queue: JobQueue,
    live_names: Callable[[], Awaitable[list[str]]],
    page: Callable[..., HTMLResponse],
) -> None:
    """Add pages and interface to an application.

    Args:
        app: the application.
        shelf: the scene files; None where the service has none.
        queue: of jobs, whose videos give frames.
        live_names: asks for the names of the live cameras, which give frames too.
        page: makes a page of a template's name and values.
    """

    def of_shelf() -> SceneShelf:
        if shelf is None:
            raise HTTPException(404, "no scenes: the service was started without --scenes FOLDER")
        return shelf

    @app.exception_handler(NoScene)
    @app.exception_handler(SceneChanged)
    @app.exception_handler(SceneError)
    async def scene_problem(_: Request, error: UserError) -> JSONResponse:
        status = {NoScene: 404, SceneChanged: 409}.get(type(error), 422)
        place = list(getattr(error, "place", ()))
        return JSONResponse({"detail": one_line(str(error)), "place": place}, status)

    @app.get("/api/scenes")
    def list_scenes() -> list[SceneListed]:
        entries = shelf.entries() if shelf else {}
        return [SceneListed(name=name, message=fault) for name, fault in entries.items()]

    @app.get("/api/scenes/{name:path}", responses={404: {"model": SceneProblem}})
    def show_scene(name: str) -> FoundScene:
        """Cameras with their zones and lines, and the rules that name them."""
        return _found(of_shelf().read(name))

    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": SceneProblem} for status in (404, 409, 422)
    }

    @app.put("/api/scenes/{name:path}", responses=refusals)
    def save_scene(name: str, wanted: WantedScene) -> FoundScene:
        """Write other zones and lines into the file; everything else in it stays as it is."""
        shapes = {
            camera: {
                kind: [Shape(one.name, tuple(one.points), one.was) for one in found]
                for kind in ("zones", "lines")
                if (found := getattr(values, kind)) is not None
            }
            for camera, values in wanted.cameras.items()
        }
        return _found(of_shelf().save(name, wanted.digest, shapes))

    @app.get("/scenes", response_class=HTMLResponse)
    def scenes_page() -> HTMLResponse:
        return page("scenes.html", scenes=shelf.entries() if shelf else None)

    @app.get("/scenes/{name:path}", response_class=HTMLResponse)
    async def scene_page(name: str) -> HTMLResponse:
        found = of_shelf()
        try:
            file = await asyncio.to_thread(found.read, name)
        except NoScene:
            raise
        except UserError as error:
            return page("scene.html", name=name, fault=one_line(str(error)), status=422)
        sources = await asyncio.to_thread(_job_frames, queue, file.scene)
        sources += _live_frames(await live_names(), file.scene)
        return page("scene.html", name=name, fault="", found=_found(file), sources=sources)


def _found(file: SceneFile) -> FoundScene:
    cameras = {
        camera.name: FoundCamera(
            videos=list(camera.videos),
            size=camera.size,
            zones=[FoundShape(name=n, points=z.tolist()) for n, z in camera.zones.items()],
            lines=[FoundShape(name=n, points=list(ends)) for n, ends in camera.lines.items()],
        )
        for camera in file.scene.cameras.values()
    }
    rules = [
        FoundRule(
            name=rule.name,
            kind=rule.kind,
            camera=rule.camera,
            zones=sorted({c.zone for c in rule.conditions if c.zone is not None}),
            line=rule.line,
        )
        for rule in file.scene.rules
    ]
    return FoundScene(name=file.name, digest=file.digest, cameras=cameras, rules=rules)


def _job_frames(queue: JobQueue, scene: Scene) -> list[dict[str, Any]]:
    """Where the page gets frames of jobs' videos from, and of which cameras they are."""
    return [
        {
            "address": f"/api/jobs/{job.id}/frame?video={number}",
            "label": shown,
            "timed": True,
            "cameras": [c.name for c in scene.cameras.values() if c.shows(Path(shown).stem)],
        }
        for job in queue.jobs(50)
        if job.state is JobState.DONE
        for number, shown in enumerate(job.inputs.values())
    ]


def _live_frames(names: list[str], scene: Scene) -> list[dict[str, Any]]:
    return [
        {
            "address": f"/api/live/{quote(name, safe='')}/frame",
            "label": f"{name} (live)",
            "timed": False,
            "cameras": [c.name for c in scene.cameras.values() if c.shows(name)],
        }
        for name in names
    ]
