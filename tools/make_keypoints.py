"""stad make-keypoints: videos in folders by class to a keypoint set, through MediaPipe Holistic."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    import numpy as np

    from stadet.datasets.footage.video import Video

SUMMARY = "body, face and hand keypoints of labelled videos, as a keypoint set"
EXAMPLES = """\
examples:
  stad make-keypoints --data signs --out signs_keypoints
  stad make-keypoints --data signs --out signs_keypoints --frames 30 --size 128 128 --val 0.25
  stad train-classifier model.name=fused_keypoints data.format=keypoints \\
      data.root=signs_keypoints augment.flip=0

--data holds a folder of videos a class, below train/, val/ and test/ or all together (then --val of
each class is for validation). DIR gets, for each side, the frames, 1662 values a frame (pose, face,
left hand, right hand; zeros where a part is not seen), which parts were found, and the labels.
Needs MediaPipe 0.10.14; how to install it is said where it is missing.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("make-keypoints", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="videos in folders by class")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write, new or empty")
    add("--frames", type=int, default=20, help="of each video, evenly spread (default 20)")
    add(
        "--size",
        type=int,
        nargs=2,
        default=[64, 64],
        metavar=("HEIGHT", "WIDTH"),
        help="of the stored frames (default 64 64); keypoints come from whole frames",
    )
    add("--val", type=float, default=0.2, help="share for validation (default 0.2)")
    add("--seed", type=int, default=0, help="of the split")
    add("--skip-bad", action="store_true", help="go on without videos that cannot be used")
    return parser


def run(args: argparse.Namespace) -> None:
    import numpy as np

    from stadet.classify.keypoints import PARTS, open_holistic
    from stadet.datasets.labelled.folders import read_class_folders
    from stadet.datasets.labelled.keypoints import write_keypoint_side, write_label_encoder
    from stadet.datasets.labelled.labelled_video import check_sides, open_all, without_bad
    from stadet.datasets.labelled.splits import deal_sides
    from stadet.engine.files import atomic_directory
    from stadet.engine.limits import INFINITE, expect_limits
    from stadet.engine.progress import progress_bar

    expect_limits(args, "", frames=(1, INFINITE), size=(1, INFINITE), val=(0, 0.9))
    open_holistic().close()  # says at once where MediaPipe is missing
    data = read_class_folders(args.data)
    videos, bad = open_all(data)  # before the long part, not in the middle of it
    data = without_bad(data, bad, skip=args.skip_bad, remedy="repair or remove them")
    data = deal_sides(data, "given" if data.sides else "stratified", val=args.val, seed=args.seed)
    check_sides(data, str(args.data))
    seen = np.zeros(len(PARTS))
    with (
        atomic_directory(args.out) as folder,
        progress_bar(description="keypoints", total=len(data), unit="video") as bar,
    ):
        write_label_encoder(folder / "label_encoder.json", data.names)
        for side in data.sides:
            chosen, clips = data.side(side), []
            for item in chosen.items:
                clips.append(_clip(videos[item.name], args.frames, tuple(args.size)))
                bar.update()
            pixels, values, found = (np.stack(column) for column in zip(*clips, strict=True))
            write_keypoint_side(folder / side, side, pixels, values, chosen.labels, found)
            seen += found.sum(axis=(0, 1))
    shares = seen / (len(data) * args.frames)
    parts = ", ".join(f"{part} {share:.0%}" for part, share in zip(PARTS, shares, strict=True))
    print(f"{len(data):,} videos of {len(data.names)} classes; frames with {parts}: {args.out}")


def _clip(
    video: Video, length: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (T, h, w, 3) uint8, keypoints (T, 1662) and found parts (T, 4) of one video."""
    import cv2
    import numpy as np

    from stadet.classify.keypoints import extract_keypoints
    from stadet.datasets.labelled.clip_sampling import uniform_frames

    wanted = uniform_frames(len(video), length)
    indices, place = np.unique(wanted, return_inverse=True)  # a short video repeats frames
    frames = [frame for _, frame in video.read(indices)]
    keypoints = extract_keypoints(frames)
    small = np.stack(
        [cv2.resize(f, (size[1], size[0]), interpolation=cv2.INTER_AREA) for f in frames]
    )
    return small[place], keypoints.values[place], keypoints.found[place]


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
