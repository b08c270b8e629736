"""Description of a data set: counts, sizes, durations, views, reversed pairs, drawn sample
frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stadet.datasets.clips.streams import coverage
from stadet.datasets.dataset import Dataset, load_dataset
from stadet.datasets.mirror import mirror_pairs
from stadet.datasets.statistics import Statistics, measure
from stadet.detect.scene.scene import Camera
from stadet.detect.structures import AnnotationSet
from stadet.detect.suspects.suspect import Suspect
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write, path_list
from stadet.engine.limits import expect_within
from stadet.engine.signatures import checked


@dataclass(frozen=True, eq=False)
class Description:
    """Description of a data set.

    Attributes:
        dataset: the data set.
        statistics: of all of it, or of the side that was asked for.
        sides: side of the split -> {"frames": looked-at frames, "boxes": boxes}.
        text: the same to read.
        suspects: truth that may be wrong, the most suspect first; None where it was not asked for.
    """

    dataset: Dataset
    statistics: Statistics
    sides: dict[str, dict[str, int]]
    text: str
    suspects: list[Suspect] | None = None


@checked
def describe(
    data: str | Path,
    *,
    size: tuple[int, int] | None = None,
    resize: str = "letterbox",
    side: str | None = None,
    out: str | Path | None = None,
    samples: int = 20,
    seed: int = 0,
    suspects: str | Path | Sequence[str | Path] | None = None,
    scene: str | Path | None = None,
) -> Description:
    """Describe a data set.

    Args:
        data: data set file, or its folder.
        size: give box sizes in pixels of a network of this (height, width) (default: the video's).
        resize: with `size`: "letterbox" keeps the proportions and pads, as training does by
            default; "stretch" fills the input.
        side: only this side of the split.
        out: folder for `describe.txt`, `describe.json` and `samples.png` (None: no files).
        samples: frames to draw; of suspects, pictures of each kind.
        seed: which frames.
        suspects: look for truth that may be wrong, by detections files of models that were not
            trained on these videos, one or more a fold; empty: by what the truth itself tells.
        scene: a scene file; with `out`, each of its cameras gets `zones-CAMERA.png`, its zones and
            lines over a frame of one of its videos.

    Raises:
        UserError: for a data set that cannot be read, for detections that do not fit it, and for a
            scene file that is wrong or has no camera of these videos.
    """
    expect_within("--size", size, 1)
    expect_within("--samples", samples, 0)
    dataset = load_dataset(data)
    dataset.findings.report()
    cameras = _cameras(scene, dataset) if scene is not None else {}
    annotations = dataset.side(side) if side else dataset.annotations
    statistics = measure(annotations, size, letterbox=resize == "letterbox")
    sides = {name: _count(dataset, name) for name in dataset.split.masks}
    text = "\n".join([*_lines(dataset, annotations, statistics, side), *_sides(dataset, sides)])
    found = None
    if suspects is not None:
        from stadet.tools.data.suspects import list_suspects, summary

        found = list_suspects(dataset, annotations, path_list(suspects), out, samples)
        text = f"{text}\n\n{summary(found)}"
    description = Description(dataset, statistics, sides, text, found)
    if out is not None:
        _write(Path(out), description)
        _draw(Path(out) / "samples.png", dataset, annotations, samples, seed)
        for video, camera in cameras.items():
            _draw_zones(Path(out), dataset, video, camera)
    return description


def _count(dataset: Dataset, side: str) -> dict[str, int]:
    annotations = dataset.side(side)
    return {
        "frames": sum(int(v.looked_at.sum()) for v in annotations),
        "boxes": sum(len(v.boxes) for v in annotations),
    }


def _lines(
    dataset: Dataset, annotations: AnnotationSet, s: Statistics, side: str | None
) -> Iterator[str]:
    sizes = ", ".join(f"{width}x{height}" for height, width in s.sizes[:4])
    rates = ", ".join(f"{rate:g}" for rate in s.rates[:4])
    varies = f", {s.variable_rates} of variable rate" if s.variable_rates else ""
    yield f"{dataset.path}{f' ({side} side)' if side else ''}"
    yield (
        f"{s.videos} videos ({sizes} at {rates} fps{varies}), {s.frames} frames, "
        f"{s.looked_at} looked at"
    )
    share = s.share_without_action
    if share is not None:
        yield (
            f"{s.seconds / 60:.1f} minutes looked at; {100 * share:.1f} % of the looked-at frames "
            "without action"
        )
    yield (
        f"{s.boxes} boxes in {s.tracks} tracks, {s.boxes_of_several_classes} of several classes"
        + (f"; most to least frequent class {s.imbalance:.1f} : 1" if s.imbalance else "")
    )
    yield ""
    yield from _table(s)
    for pair in sorted({tuple(sorted(pair)) for pair in dataset.reverses.items()}):
        yield f"Reverses of each other: {pair[0]} | {pair[1]}"
    for pair in sorted({tuple(sorted(pair)) for pair in dataset.flip_labels.items()}):
        yield f"Swap under a flip: {pair[0]} | {pair[1]}"
    for mirrored in mirror_pairs(annotations, dataset.reverses, dataset.flip_labels):
        yield f"Train with augment.flip=0, or set flip_labels: {mirrored}"
    for name, members in dataset.views.items():
        yield f"The same time in {name}: {', '.join(members)}"
    yield from _facts(dataset)


def _table(s: Statistics) -> Iterator[str]:
    width = max([len("class"), *(len(c.name) for c in s.classes)])
    where = "network" if s.network_size else "video"
    yield (
        f"{'class':<{width}}  {'clips':>6} {'boxes':>7} {'frames':>7}  "
        f"{'seconds: least, median, most':>28}  median box ({where} px)"
    )
    for c in sorted(s.classes, key=lambda c: -c.boxes):
        seconds = "-"
        if c.seconds:
            seconds = f"{c.seconds[0]:.2f}, {c.seconds[2]:.2f}, {c.seconds[-1]:.2f}"
        box = f"{c.width[2]:.0f} x {c.height[2]:.0f}" if c.width and c.height else "-"
        yield f"{c.name:<{width}}  {c.clips:>6} {c.boxes:>7} {c.frames:>7}  {seconds:>28}  {box}"
    yield ""


def _facts(dataset: Dataset) -> Iterator[str]:
    """Facts of generated footage."""
    path = dataset.path.parent / "restaurant.json"
    if not path.is_file():
        return
    from stadet.datasets.restaurant.facts import read_facts

    facts = read_facts(path)
    yield "Generated footage (restaurant.json):"
    yield f"  Classes that one frame can tell: {', '.join(facts.told_by_one_frame) or 'none'}"
    pairs = "; ".join(f"{one} | {other}" for one, other in facts.reversed_pairs)
    yield f"  Pairs that are exact time reversals: {pairs or 'none'}"
    stops = [stop for rows in facts.stops.values() for stop in rows]
    if stops:
        lengths = [stop.last - stop.first + 1 for stop in stops]
        labels = ", ".join(sorted({stop.label for stop in stops}))
        yield (
            f"  The carrying hand rests in {len(stops)} actions for {min(lengths)} to "
            f"{max(lengths)} frames, where only memory tells: {labels}"
        )


def _sides(dataset: Dataset, sides: dict[str, dict[str, int]]) -> Iterator[str]:
    split = dataset.config.split
    parts = [f"{side} {n['frames']} frames, {n['boxes']} boxes" for side, n in sides.items()]
    yield f"Split by {split.method}, {dataset.split.digest}: {'; '.join(parts)}"
    for side in sides:
        annotations = dataset.side(side)
        masks = {v.name: dataset.split.visible(side, v.name, v.num_frames) for v in annotations}
        yield f"  {side}: {coverage(annotations, masks)}"


def _write(folder: Path, description: Description) -> None:
    dataset, statistics = description.dataset, description.statistics
    with atomic_write(folder / "describe.txt") as stream:
        stream.write(description.text + "\n")
    content = {
        **asdict(statistics),
        "share_without_action": statistics.share_without_action,
        "views": dict(dataset.views),
        "reverses": dict(dataset.reverses),
        "flip_labels": dict(dataset.flip_labels),
        "split": {"digest": dataset.split.digest, "sides": description.sides},
        "findings": dataset.findings.lines(),
    }
    with atomic_write(folder / "describe.json") as stream:
        json.dump(content, stream, indent=1)


def _draw(
    path: Path, dataset: Dataset, annotations: AnnotationSet, samples: int, seed: int
) -> None:
    from stadet.datasets.contact_sheet import choose_frames, draw_sheet
    from stadet.detect.drawing.image_file import write_image

    if frames := choose_frames(annotations, samples, seed):
        write_image(path, draw_sheet(dataset, frames))


def _cameras(scene: str | Path, dataset: Dataset) -> dict[str, Camera]:
    """The first video of each camera of a scene file that has one here, and the camera."""
    from stadet.detect.scene.file import read_scene

    content = read_scene(scene)
    content.check_classes(dataset.names)
    found: dict[str, Camera] = {}
    for camera in content.cameras.values():
        videos = [name for name in dataset.annotations.videos if camera.shows(name)]
        if videos:
            found[videos[0]] = camera
    if not found:
        raise UserError(
            f"{scene}: expected a camera of one of the videos of {dataset.path} "
            f"({', '.join(list(dataset.annotations.videos)[:3])}, ..), found none; correct the "
            "cameras' videos"
        )
    return found


def _draw_zones(folder: Path, dataset: Dataset, video: str, camera: Camera) -> None:
    from stadet.detect.drawing.image_file import write_image
    from stadet.detect.drawing.zones import draw_zones, with_rulers

    middle = dataset.annotations.videos[video].num_frames // 2
    ((_, image),) = dataset.open_video(video).read([middle])
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in camera.name)
    write_image(folder / f"zones-{name}.png", draw_zones(with_rulers(image), camera))
