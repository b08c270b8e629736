"""The page of suspect annotations: a table and pictures of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.drawing.render import Canvas
from stadet.detect.report.pages import Cell, Picture, Table, render
from stadet.detect.report.pictures import jpeg
from stadet.detect.structures import AnnotationSet
from stadet.detect.suspects.suspect import KINDS, Suspect

TILE = (240, 320)  # (height, width) of one of the three pictures of a suspect
AROUND = 3.0  # a picture shows so many box sizes
BESIDE = 3  # frames before and after a single frame in question
SHOWN_SCORE = 0.25  # of detections that are drawn
ROWS = 50  # of a kind in its table on the page

FrameRun = Callable[[str, Sequence[int]], Iterable[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class KindOnPage:
    """One kind of suspects: remark: heading of its table."""

    name: str
    words: str
    remark: str
    table: Table
    pictures: list[Picture]


def suspects_page(
    suspects: Sequence[Suspect],
    pictures: Mapping[int, Picture],
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    notes: Sequence[str] = (),
) -> str:
    """One self-contained HTML page; pictures: by rank of the suspect."""
    by_kind = {kind: [s for s in suspects if s.kind == kind] for kind in KINDS}
    return render(
        "suspects.html",
        title=title,
        facts=list(facts),
        notes=list(notes),
        shown_score=SHOWN_SCORE,
        overview=Table(
            ["kind", "what it means", "suspects", "score 0.5 or more"],
            [
                [kind, words, f"{len(own):,}", f"{sum(s.score >= 0.5 for s in own):,}"]
                for kind, words in KINDS.items()
                if (own := by_kind[kind])
            ],
            text=(0, 1),
        ),
        kinds=[
            KindOnPage(
                kind,
                words,
                f"The first {ROWS} of {len(own):,}" if len(own) > ROWS else "",
                _table(own[:ROWS]),
                [pictures[s.rank] for s in own if s.rank in pictures],
            )
            for kind, words in KINDS.items()
            if (own := by_kind[kind])
        ],
    )


def _table(suspects: Sequence[Suspect]) -> Table:
    return Table(
        ["rank", "score", "video", "track", "frames", "class", "what speaks against it"],
        [
            [
                f"{s.rank}",
                Cell(f"{s.score:.2f}", s.score),
                s.video,
                "-" if s.track < 0 else f"{s.track}",
                f"{s.first}" if s.first == s.last else f"{s.first} to {s.last}",
                s.label,
                s.suggestion,
            ]
            for s in suspects
        ],
        text=(2, 5, 6),
    )


def draw_suspects(
    suspects: Sequence[Suspect],
    annotations: AnnotationSet,
    detections: DetectionSet | None,
    frames_of: FrameRun,
) -> dict[int, Picture]:
    """A strip of three pictures for each suspect, by its rank: what is around its box before, at
    and after its frame.

    frames_of(video, frames) -> (index, (H, W, 3) uint8 RGB) of these frames, in rising order.
    """
    tiles: dict[tuple[str, int, int], np.ndarray] = {}
    wanted: dict[str, dict[int, list[Suspect]]] = defaultdict(lambda: defaultdict(list))
    for suspect in suspects:
        for frame in _frames(suspect, annotations.videos[suspect.video].num_frames):
            wanted[suspect.video][frame].append(suspect)
    for video, frames in wanted.items():
        for index, image in frames_of(video, sorted(frames)):
            for suspect in frames[index]:
                tile = _tile(image, suspect, index, annotations, detections)
                tiles[video, suspect.rank, index] = tile
    return dict(_strips(suspects, annotations, tiles))


def _strips(
    suspects: Sequence[Suspect],
    annotations: AnnotationSet,
    tiles: Mapping[tuple[str, int, int], np.ndarray],
) -> Iterator[tuple[int, Picture]]:
    for suspect in suspects:
        frames = _frames(suspect, annotations.videos[suspect.video].num_frames)
        found = [tiles.get((suspect.video, suspect.rank, frame)) for frame in frames]
        shown = [tile for tile in found if tile is not None]
        if shown:
            caption = f"{suspect.rank}. {suspect.video}, frame {suspect.frame}, "
            caption += f"{suspect.label}: {suspect.suggestion}"
            image = np.concatenate(shown, axis=1)
            yield suspect.rank, Picture(f"suspect-{suspect.rank}", jpeg(image), caption)


def _frames(suspect: Suspect, num_frames: int) -> list[int]:
    """Before, at and after: of a stretch the frames outside it, where its middle is shown."""
    middle = suspect.frame
    before, after = middle - BESIDE, middle + BESIDE
    if suspect.kind == "jump":
        before, after = suspect.first - 1, suspect.last + 1
    elif suspect.kind == "onset":
        before, after = suspect.first, suspect.last
        middle = (before + after) // 2
    return [min(max(frame, 0), num_frames - 1) for frame in (before, middle, after)]


def _tile(
    image: np.ndarray,
    suspect: Suspect,
    frame: int,
    annotations: AnnotationSet,
    detections: DetectionSet | None,
) -> np.ndarray:
    import cv2

    height, width = image.shape[:2]
    x1, y1, x2, y2 = suspect.box
    tall = min(height, AROUND * max(y2 - y1, (x2 - x1) * TILE[0] / TILE[1], 8))
    scale = TILE[0] / tall
    wide = min(width, TILE[1] / scale)
    left = float(np.clip((x1 + x2) / 2 - wide / 2, 0, width - wide))
    top = float(np.clip((y1 + y2) / 2 - tall / 2, 0, height - tall))
    move = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tile = cv2.warpAffine(np.asarray(image), move, (TILE[1], TILE[0]), flags=way)
    corner = np.array([left, top, left, top])
    with Canvas(tile, annotations.names) as canvas:
        truth = annotations.videos[suspect.video][frame]
        if truth is not None:
            boxes, inside = _placed(truth.boxes, corner, scale)
            canvas.annotations(
                replace(
                    truth,
                    boxes=boxes[inside],
                    labels=truth.labels[inside],
                    track_ids=truth.track_ids[inside],
                    ignored=truth.ignored[inside],
                )
            )
        video = detections.videos.get(suspect.video) if detections is not None else None
        found = video[frame] if video is not None else None
        if found is not None:
            boxes, inside = _placed(found.boxes, corner, scale)
            canvas.detections(replace(found, boxes=boxes)[inside], SHOWN_SCORE)
        canvas.corner(f"frame {frame}", bottom=False)
    return tile


def _placed(boxes: np.ndarray, corner: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes in pixels of the tile, and which of them are in it."""
    placed = (boxes - corner) * scale
    inside = (placed[:, :2] < [TILE[1], TILE[0]]).all(axis=1) & (placed[:, 2:] > 0).all(axis=1)
    return placed, np.flatnonzero(inside)
