"""The whole route on generated footage: two detectors trained, judged, compared and drawn.

Every step is a call of a verb's function, and is printed as the equivalent command.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from stadet.configs import find_config
from stadet.datasets.restaurant import FootageConfig
from stadet.datasets.restaurant.files import write_footage
from stadet.engine.errors import UserError
from stadet.tools.compare import compare
from stadet.tools.data.anchors import kmeans_anchors
from stadet.tools.evaluation.evaluate import evaluate_detections
from stadet.tools.inference.predict import predict
from stadet.tools.inference.render import render
from stadet.tools.training.inherit import load_train_config
from stadet.tools.training.train import train

MODELS = {"frame": "one frame", "recurrent": "with memory"}
SIZE = (64, 112)  # (height, width) of the training footage
UNSEEN_SIZE = (256, 448)
FOOTAGE = {
    "hand_scale": 2.4,
    "variety": 0.2,
    "action_share": 0.65,
    "together": 0.1,
    "unseen_share": 0.02,
}
JUDGED_FROM = 1000  # seeds of unseen footage begin here


@dataclass(frozen=True)
class Demo:
    """Files of the demo.

    Attributes:
        reports: page of each model's report on unseen footage.
        comparison: page of both side by side.
        video: both models' boxes in one video.
        seconds: that it took.
    """

    reports: dict[str, Path]
    comparison: Path
    video: Path
    seconds: float


def demo(
    out: str | Path, *, minutes: float = 12.0, steps: int | None = None, seed: int = 0
) -> Demo | None:
    """Film a counter, train a frame detector and one with memory, judge and draw both.

    Args:
        out: a new folder.
        minutes: of footage to train on.
        steps: of each training (default: the configurations').
        seed: of the footage and the trainings.

    Returns:
        None where the user interrupted a training.

    Raises:
        UserError: where `out` holds files.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out: expected a new folder, found files in {out}; name another")
    started = time.monotonic()
    dataset = _film(out / "footage", minutes, seed, SIZE)
    unseen = _film(out / "unseen", 3, seed + JUDGED_FROM, UNSEEN_SIZE, still_share=1.0)
    anchors = _anchors(out, dataset)
    reports = {}
    for name in MODELS:
        overrides = [
            f"output={out / name}",
            f"data.dataset={dataset}",
            f"yolo.anchors={anchors}",
            f"seed={seed}",
            *([f"yolo.weights={out / 'frame' / 'best.pt'}"] if name == "recurrent" else []),
            *([f"loop.max_steps={steps}"] if steps else []),
        ]
        _say("train", f"demo_{name}", *overrides)
        config = load_train_config(find_config(f"demo_{name}"), overrides)
        if train(config).interrupted:
            return None
        reports[name] = _judge(out, name, unseen)
    folders = [page.parent for page in reports.values()]
    _say("compare", *folders, "--out", out / "comparison")
    comparison = compare(folders, out=out / "comparison").page
    print(comparison.with_name("compare.md").read_text(encoding="utf-8").strip())
    threshold = max(_threshold(folder) for folder in folders)
    return Demo(reports, comparison, _draw(out, unseen, threshold), time.monotonic() - started)


def _film(folder: Path, minutes: float, seed: int, size: tuple[int, int], **more: float) -> Path:
    """The data set file of new footage."""
    chosen = {**FOOTAGE, **more, "scenes": max(2, round(2 * minutes)), "seed": seed}
    options = [text for k, v in chosen.items() for text in (f"--{k.replace('_', '-')}", f"{v:g}")]
    _say("make-footage", "--out", folder, "--minutes", f"{minutes:g}", "--size", *size, *options)
    return write_footage(folder, FootageConfig(minutes=minutes, size=size, **chosen))


def _anchors(out: Path, dataset: Path) -> Path:
    path, plot = out / "anchors.yaml", out / "anchors.png"
    strides = (8, 16)
    _say(
        *("kmeans-anchors", "--data", dataset, "--size", *SIZE, "--resize", "stretch"),
        *("--strides", *strides, "--out", path, "--plot", plot),
    )
    choice = kmeans_anchors(
        dataset, size=SIZE, resize="stretch", strides=strides, out=path, plot=plot
    )
    print(choice.text())
    return path


def _judge(out: Path, name: str, unseen: Path) -> Path:
    """A trained model on the unseen footage; the page of its report."""
    videos, checkpoint = unseen.parent / "videos", out / name / "best.pt"
    detections, report = out / f"{name}.jsonl", out / "reports" / name
    _say(
        *("predict", videos, "--checkpoint", checkpoint, "--window", 16, "--out", detections),
        "--for-evaluation",
    )
    predict(videos, checkpoint, detections, window=16, for_evaluation=True)
    learnt, facts = out / name / "report" / "metrics.json", unseen.parent / "restaurant.json"
    title = f"Unseen footage, {MODELS[name]}"
    _say(
        *("evaluate", "--data", unseen, "--detections", detections, "--threshold-from", learnt),
        *("--motionless", facts, "--title", title, "--out", report),
    )
    result = evaluate_detections(
        detections, data=unseen, threshold_from=learnt, motionless=facts, title=title, out=report
    )
    print(result.summary())
    return report / "report.html"


def _draw(out: Path, unseen: Path, threshold: float) -> Path:
    video, boxed = unseen.parent / "videos" / "counter00_front.mp4", out / "boxed.mp4"
    detections, titles = [out / f"{name}.jsonl" for name in MODELS], list(MODELS.values())
    _say(
        *("render", "--data", unseen, "--video", video, "--detections", *detections),
        *("--titles", *titles, "--threshold", f"{threshold:.2f}", "--out", boxed),
    )
    render(
        boxed,
        data=unseen,
        video=video,
        detections=detections,
        titles=titles,
        threshold=round(threshold, 2),
    )
    return boxed


def _say(verb: str, *words: object) -> None:
    """Print the command that is equivalent to the next call."""
    print(f"\n$ stad {verb} {shlex.join(str(word) for word in words)}", flush=True)


def _threshold(report: Path) -> float:
    from stadet.detect.report.figures import read_figures

    return float(read_figures(report / "metrics.json")["threshold"])
