"""Resident memory of training on long footage: the whole process tree, from caching to the report.

Films a minute at 720p, repeats it to each length without encoding it again, trains a few steps with
loading processes and prints the peak of the sum over processes (proportional set size: shared pages
are counted once) while the frames are cached and while it trains.

    python benchmarks/training_memory.py --minutes 2 20
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs/restaurant_yolov3_small.yaml"


def repeat_video(source: Path, target: Path, times: int) -> None:
    """The packets of `source` again and again, with time going on."""
    import av

    with av.open(str(target), "w") as out:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                end = offset
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.stream = stream
                    out.mux(packet)
                offset = end


def repeat_annotations(source: Path, target: Path, name: str, times: int) -> None:
    """The first view's truth, repeated in time, as COCO-video."""
    import numpy as np

    from stadet.datasets.dataset import load_dataset
    from stadet.datasets.formats.coco_video import write_coco_video
    from stadet.detect.structures import AnnotationSet, VideoAnnotations

    dataset = load_dataset(source)
    video = next(iter(dataset.annotations))
    length = video.num_frames
    repeated = VideoAnnotations.build(
        name,
        video.size,
        video.fps,
        np.tile(video.looked_at, times),
        np.concatenate([video.frames + i * length for i in range(times)]),
        np.tile(video.boxes, (times, 1)),
        np.tile(video.labels, (times, 1)),
    )
    write_coco_video(target, AnnotationSet(dataset.names, {name: repeated}))


def peak_of(command: list[str], log: Path) -> tuple[float, float]:
    """Run a command; peak of the tree's memory in GiB, and seconds."""
    started, peak = time.monotonic(), 0.0
    with open(log, "w") as stream:
        process = psutil.Popen(command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT)
        while process.poll() is None:
            total = 0
            for member in [process, *process.children(recursive=True)]:
                try:
                    total += member.memory_full_info().pss
                except psutil.Error:  # it has just ended
                    continue
            peak = max(peak, total / 2**30)
            time.sleep(0.3)
    if process.returncode:
        raise SystemExit(log.read_text()[-2000:])
    return peak, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=int, nargs="+", default=[2, 20])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    stad = [sys.executable, "-m", "stadet.tools.cli"]
    try:
        minute = folder / "minute"
        subprocess.run(
            [
                *stad,
                "make-footage",
                "--out",
                str(minute),
                "--minutes",
                "1",
                "--scenes",
                "1",
                "--views",
                "1",
                "--size",
                "720",
                "1280",
            ],
            cwd=ROOT,
            check=True,
        )
        print("| minutes of 720p | frames | peak GiB, process tree | seconds |\n|---|---|---|---|")
        for minutes in args.minutes:
            data = folder / f"{minutes}"
            (data / "videos").mkdir(parents=True)
            source = next((minute / "videos").glob("*.mp4"))
            repeat_video(source, data / "videos" / "long.mp4", minutes)
            repeat_annotations(minute, data / "annotations.json", "long", minutes)
            content = {"format": "coco-video", "annotations": "annotations.json"}
            (data / "dataset.yaml").write_text(yaml.safe_dump(content))
            peak, seconds = peak_of(
                [
                    *stad,
                    "train",
                    str(CONFIG),
                    f"data.dataset={data / 'dataset.yaml'}",
                    f"output={data / 'run'}",
                    f"loop.max_steps={args.steps}",
                    f"data.workers={args.workers}",
                ],
                data / "log",
            )
            frames = minutes * 60 * 15
            print(f"| {minutes} | {frames} | {peak:.2f} | {seconds:.0f} |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
