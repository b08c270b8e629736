"""Mutated files through every reader: each must give a result or one line.

    python -m tests.fuzz.fuzzing --mutations 20000 --videos 500

prints the figures of docs/reliability.md as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError
from stadet.engine.reading import safe_name
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import Target, targets

UNFORESEEN = "found content that cannot be read"  # the words of `guarded`'s last resort


@dataclass
class Figures:
    """What became of the mutations.

    read: gave a result; refused: gave one line; unforeseen: of these, by the guard's last resort;
    faults: "target: error" of each that gave neither; growth: of the resident memory, bytes.
    """

    mutations: int = 0
    read: int = 0
    refused: int = 0
    unforeseen: int = 0
    faults: list[str] = field(default_factory=list)
    growth: int = 0
    seconds: float = 0.0
    by_target: dict[str, int] = field(default_factory=dict)


def fuzz_readers(count: int, seed: int, folder: Path, seconds: float | None = None) -> Figures:
    """`count` mutations, dealt to all targets in turn; fewer where `seconds` have passed."""
    figures, rng = Figures(), random.Random(seed)
    begin, before = time.monotonic(), _memory()
    places = {}
    for number, (name, target) in enumerate(targets().items()):
        places[name] = (target, folder / str(number))
        _write(folder / str(number), {**target.others, target.name: target.content})
        assert target.read(folder / str(number)) is not None, f"{name}: the sound file is refused"
    reached: Counter = Counter()
    for name in _turns(list(places), count):
        if seconds is not None and time.monotonic() - begin > seconds:
            break
        target, place = places[name]
        content = mutated(target.content, rng)
        (place / target.name).write_bytes(content)
        _try(figures, name, target, place)
        reached[name] += 1
    figures.growth = _memory() - before
    figures.seconds = round(time.monotonic() - begin, 1)
    figures.by_target = dict(reached)
    return figures


def fuzz_videos(count: int, seed: int, folder: Path, videos: dict[str, bytes]) -> Figures:
    """`count` damaged copies of `videos`, each indexed, passed through and sought in.

    Frames that no damage reaches must be the same either way. Of the others FFmpeg may take pixels
    from memory that it never wrote, so that even two passes differ.
    """
    from stadet.datasets.footage.index import load_or_build_index
    from stadet.datasets.footage.video import open_video

    figures, rng = Figures(), random.Random(seed)
    begin, before = time.monotonic(), _memory()

    def read(place: Path) -> bool:
        (path,) = place.iterdir()
        video = open_video(path, index_dir=folder / "index")
        frames = [frame.copy() for _, frame in video.frames()]
        clean = load_or_build_index(path, folder / "index").clean
        for index in rng.sample(np.flatnonzero(clean).tolist(), min(4, int(clean.sum()))):
            assert (video.frame(index) == frames[index]).all(), f"frame {index} differs by a seek"
        video.close()
        return True

    for number in range(count):
        name = rng.choice(sorted(videos))
        place = folder / str(number)
        _write(place, {name: damaged_video(videos[name], rng)})
        _try(figures, name, Target(name, b"", read, {}), place)
        (place / name).unlink()
    figures.growth = _memory() - before
    figures.seconds = round(time.monotonic() - begin, 1)
    return figures


def damaged_video(content: bytes, rng: random.Random) -> bytes:
    """A file with flipped bits, zeroed or exchanged blocks, or a part that is missing."""
    changed = bytearray(content)
    kind = rng.randrange(5)
    if kind == 0:
        return content[: rng.randint(0, len(content))]
    for _ in range(rng.choice((1, 3, 30))):
        place = rng.randrange(len(changed)) if rng.random() < 0.7 else rng.randrange(4000)
        place = min(place, len(changed) - 1)
        length = rng.choice((1, 1, 4, 400))
        if kind == 1:
            changed[place : place + length] = bytes(len(changed[place : place + length]))
        elif kind == 2:
            del changed[place : place + rng.choice((1, 16, 1000))]
        elif kind == 3:
            changed[place : place + length] = rng.randbytes(len(changed[place : place + length]))
        else:
            changed[place] ^= 1 << rng.randrange(8)
        if not changed:
            break
    return bytes(changed)


def _turns(names: list[str], count: int) -> Iterator[str]:
    for number in range(count):
        yield names[number % len(names)]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _try(figures: Figures, name: str, target: Target, place: Path) -> None:
    figures.mutations += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_result(target.read(place))
        figures.read += 1
    except UserError as error:
        figures.refused += 1
        text = str(error)
        figures.unforeseen += UNFORESEEN in text
        try:
            text.encode()
            if "\n" in text or len(text) > 2000:
                raise ValueError
        except ValueError:
            figures.faults.append(f"{name}: a message that is not one line: {text[:300]!a}")
    except Exception:
        figures.faults.append(f"{name}: {traceback.format_exc(limit=-4)}")


def check_result(result: object) -> None:
    """AssertionError where a reader let something through that cannot be."""
    if isinstance(result, AnnotationSet):
        for video in result:
            safe_name(video.name, "result")
            assert video.fps > 0 and min(video.size) > 0
            height, width = video.size
            assert np.isfinite(video.boxes).all()
            assert (video.boxes >= 0).all() and (video.boxes <= [width, height] * 2).all()
    elif isinstance(result, DetectionSet):
        for video in result:
            safe_name(video.name, "result")
            assert np.isfinite(video.boxes).all() and np.isfinite(video.scores).all()


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--videos", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.pop("STAD_TRACEBACK", None)
    from tests.fuzz.footage import small_videos

    with tempfile.TemporaryDirectory() as folder:
        readers = fuzz_readers(args.mutations, args.seed, Path(folder) / "readers")
        films = fuzz_videos(args.videos, args.seed, Path(folder) / "videos", small_videos())
    print(json.dumps({"readers": asdict(readers), "videos": asdict(films)}, indent=1))


if __name__ == "__main__":
    main()
