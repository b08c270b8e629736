"""Videos to everything that a user looks at: detections, tubes, events, boxed videos, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from stadet.datasets.clips.timing import Rate
from stadet.detect.report.pages import render as fill
from stadet.detect.tubes.events import Event, EventOptions, time_text
from stadet.detect.tubes.linking import LinkOptions
from stadet.engine.files import atomic_write, expect_absent, file_names, path_list
from stadet.engine.limits import expect_within
from stadet.tools.events import log_events
from stadet.tools.inference.detectors import DetectorFile
from stadet.tools.inference.predict import open_predictor, predict_opened, seconds_before
from stadet.tools.inference.predictor import Predictor
from stadet.tools.inference.render import render
from stadet.tools.inference.runtimes import RuntimeOptions
from stadet.tools.inference.sources import expand_sources
from stadet.tools.tubes import link_tubes

PACKAGE = "stadet.tools.inference"
LEAST_SHARE = 0.5  # boxes take part in tubes from this share of the threshold on


@dataclass(frozen=True, eq=False)
class VideoResult:
    """Results of one video.

    Attributes:
        name: the video's name in the files.
        events: in order of time.
        boxed: the video with boxes (.mp4).
        plot: picture of the events over time.
    """

    name: str
    events: list[Event]
    boxed: Path
    plot: Path


@dataclass(frozen=True, eq=False)
class RunResult:
    """The files of a run over videos.

    Attributes:
        detections: the detections file.
        tubes: the tube file.
        events: the event log (.csv).
        counts: events over time (.csv).
        videos: what was found in each video.
        names: names of the classes that events' labels mean.
        page: links all of it.
    """

    detections: Path
    tubes: Path
    events: Path
    counts: Path
    videos: list[VideoResult]
    names: tuple[str, ...]
    page: Path


def run_videos(
    sources: str | Path | Sequence[str | Path],
    checkpoint: str | Path,
    out: str | Path,
    *,
    threshold: float | None = None,
    max_frames: int | None = None,
    overwrite: bool = False,
    runtime: RuntimeOptions | None = None,
    device: str | None = None,
    fps: Rate = None,
) -> RunResult:
    """Run a checkpoint over videos; link, log and draw what it finds.

    Args:
        sources: video files, frame folders, or folders of videos.
        checkpoint: `best.pt` of a run, or an exported `.onnx` file.
        out: folder for all results.
        threshold: least score of drawn boxes and of events (default: what training learnt on its
            validation side, or 0.25).
        max_frames: stop after so many frames of each video.
        overwrite: replace the results of an earlier run.
        runtime: how the checkpoint is run (default: plain torch in fp32, an exported file by
            onnxruntime).
        device: "cpu", "cuda" or "cuda:N" (default: the GPU if there is one).
        fps: frames a second at which a model that uses earlier frames is shown footage (default:
            those of its training); "native": every frame as it comes.

    Returns:
        Where everything lies, and the events of each video.

    Raises:
        UserError: where `out` holds results already (unless `overwrite`), and for videos that
            cannot be read.
    """
    given = path_list(sources)
    places = expand_sources([str(source) for source in given], cameras=False)
    expect_absent(*result_files(places, out), overwrite=overwrite)
    predictor = open_run_predictor(
        checkpoint, threshold=threshold, runtime=runtime, device=device, fps=fps
    )
    return run_opened(
        predictor, places, out, checkpoint, threshold=threshold, max_frames=max_frames
    )


def result_files(places: Mapping[str, str | Path], out: str | Path) -> list[Path]:
    """What a run over these videos writes into its folder, but for the plots of events."""
    names = ("detections.jsonl", "tubes.json", "events.csv", "counts.csv", "index.html")
    return [Path(out) / name for name in (*names, *(f"{s}.mp4" for s in file_names(places)))]


def open_run_predictor(
    checkpoint: str | Path,
    *,
    threshold: float | None = None,
    runtime: RuntimeOptions | None = None,
    device: str | None = None,
    fps: Rate = None,
) -> Predictor:
    """A checkpoint with the settings of a run, of which `run_videos` tells."""
    expect_within("--threshold", threshold, 0, 1)

    def floor(detector: DetectorFile) -> float:
        return LEAST_SHARE * (detector.shown_threshold if threshold is None else threshold)

    return open_predictor(checkpoint, score_floor=floor, runtime=runtime, device=device, fps=fps)


def run_opened(
    predictor: Predictor,
    places: Mapping[str, str | Path],
    out: str | Path,
    checkpoint: str | Path,
    *,
    threshold: float | None = None,
    max_frames: int | None = None,
) -> RunResult:
    """What `run_videos` does with an opened checkpoint and videos by name; files are replaced.

    checkpoint: as the page names it.
    """
    expect_within("max_frames", max_frames, 1)
    out = Path(out)
    stems = dict(zip(places, file_names(places), strict=True))
    detections, tube_file, page = out / "detections.jsonl", out / "tubes.json", out / "index.html"
    boxed = {name: out / f"{stem}.mp4" for name, stem in stems.items()}
    if threshold is None:
        threshold = predictor.detector.shown_threshold
    floor = predictor.config.score_floor
    predict_opened(predictor, places, detections, max_frames=max_frames)
    tubes = link_tubes(detections, out=tube_file, options=LinkOptions(min_score=floor))
    log = log_events(tubes, out=out, options=EventOptions(min_score=threshold))
    results = []
    for name, place in places.items():
        render(
            boxed[name],
            video=place,
            detections=[detections],
            threshold=threshold,
            seconds=seconds_before(place, max_frames),
            overwrite=True,
        )
        own = [event for event in log.events if event.video == name]
        results.append(VideoResult(name, own, boxed[name], out / f"{stems[name]}.png"))
    with atomic_write(page) as stream:
        stream.write(_page(results, tubes.names, threshold, str(checkpoint)))
    return RunResult(
        detections,
        tube_file,
        out / "events.csv",
        out / "counts.csv",
        results,
        tuple(tubes.names),
        page,
    )


def _page(
    results: Sequence[VideoResult], names: Sequence[str], threshold: float, checkpoint: str
) -> str:
    videos = [
        {
            "name": result.name,
            "boxed": quote(result.boxed.name),
            "plot": quote(result.plot.name) if result.plot.exists() else None,
            "events": [
                {
                    "action": names[event.label],
                    "time": time_text(event.start),
                    "start": f"{event.start:.2f}",
                    "seconds": f"{event.duration:.1f}",
                    "score": f"{event.score:.2f}",
                }
                for event in result.events
            ],
        }
        for result in results
    ]
    count = sum(len(result.events) for result in results)
    return fill(
        "run.html",
        PACKAGE,
        title=f"{count:,} events in {len(results):,} video{'s' if len(results) > 1 else ''}",
        checkpoint=checkpoint,
        threshold=f"{threshold:.2f}",
        videos=videos,
    )
