"""`stad fleet predict` against one process: speed, and results after kills.

  OMP_NUM_THREADS=1 python benchmarks/fleet.py --scenes 12 --kills 2

A YOLOv3 of a quarter width at 128 x 224, trained for two steps (its work is that of a trained
one), on generated footage. A worker and the driver are ended by SIGKILL at random moments, after
which the same command is run again; two Ray nodes are simulated on this machine. Exits with 1 where
joined results differ by a byte from those of `stad predict`, a video that was done is done again,
or processes are left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VERB = [sys.executable, "-m", "stadet.tools.cli"]
SETTINGS = [
    *("data.size=[128, 224]", "data.resize=stretch", "data.batch=2", "data.workers=0"),
    *("yolo.width=0.25", "yolo.num_anchors=6", "yolo.strides=[8, 16]"),
    *("loop.max_steps=2", "loop.precision=fp32", "inference.score_floor=0.001"),
]


def stad(*arguments: object, **options) -> subprocess.Popen:
    """A verb as the head of a process group."""
    return subprocess.Popen(
        [*VERB, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def timed(process: subprocess.Popen) -> tuple[float, str]:
    """Seconds to its end and what it said; it must succeed."""
    began = time.monotonic()
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return time.monotonic() - began, said


def records(out: Path) -> dict[str, dict]:
    """File name -> record of each video that is done."""
    found = (out / ".stad-fleet" / "videos").rglob("[!.]*.json")  # hidden: being written
    return {path.name: json.loads(path.read_text()) for path in found}


def joined(out: Path) -> bytes:
    """The results as one detections file."""
    parts = [path.read_bytes().partition(b"\n") for path in sorted(out.glob("*.jsonl"))]
    return parts[0][0] + b"\n" + b"".join(rest for *_, rest in parts) if parts else b""


def workers_of(driver: int) -> list[int]:
    """Processes of Ray actors that live below this driver."""
    listed = subprocess.check_output(["ps", "-eo", "pid=,ppid=,args="], text=True).splitlines()
    rows = [line.split(None, 2) for line in listed if len(line.split(None, 2)) == 3]
    parents = {int(pid): int(parent) for pid, parent, _ in rows}

    def below(pid: int) -> bool:
        while pid in parents and pid != driver:
            pid = parents[pid]
        return pid == driver

    return [
        int(pid) for pid, _, words in rows if words.startswith("ray::Worker") and below(int(pid))
    ]


def processes_in(sessions: set[str]) -> int:
    """Processes that name one of these session folders of Ray."""
    listed = subprocess.check_output(["ps", "-eo", "args="], text=True)
    return sum(any(s in line for s in sessions) for line in listed.splitlines())


def sessions_of(driver: int) -> set[str]:
    listed = subprocess.check_output(["ps", "-o", "args=", "--ppid", str(driver)], text=True)
    return set(re.findall(r"stad-ray-\w+", listed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=12, help="two videos each")
    parser.add_argument("--seconds", type=float, default=30, help="of a video")
    parser.add_argument("--kills", type=int, default=2, help="of a worker, and of a driver")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from stadet.datasets.restaurant import FootageConfig
    from stadet.datasets.restaurant.files import write_footage

    draw, problems = random.Random(args.seed), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["STAD_CACHE"] = str(folder / "cache")
        minutes = args.scenes * args.seconds / 60
        config = FootageConfig(minutes=minutes, scenes=args.scenes, size=(128, 224), fps=10)
        dataset = write_footage(folder / "footage", config, workers=1)
        videos = folder / "footage" / "videos"
        run = folder / "run"
        timed(stad("train", *SETTINGS, f"data.dataset={dataset}", f"output={run}"))
        given = [
            videos,
            "--checkpoint",
            run / "last.pt",
            "--device",
            "cpu",
            "--score-floor",
            "0.01",
        ]
        timed(stad("predict", *given, "--out", folder / "warm.jsonl"))  # indexes the videos
        seconds, _ = timed(stad("predict", *given, "--out", folder / "single.jsonl"))
        wanted = (folder / "single.jsonl").read_bytes()
        total = len(list(videos.glob("*.mp4")))
        print(f"one process: {seconds:.1f} s, {total} videos, {wanted.count(b'bbox'):,} boxes")

        def check(out: Path, what: str) -> None:
            same = joined(out) == wanted and len(records(out)) == total
            print(f"{what}: {'equal' if same else 'DIFFERENT'}", flush=True)
            if not same:
                problems.append(what)

        for count in (1, 2):
            out = folder / f"workers{count}"
            seconds, _ = timed(stad("fleet", "predict", *given, "--out", out, "--workers", count))
            own = [record["seconds"] for record in records(out).values()]
            frames = sum(record["frames"] for record in records(out).values())
            print(
                f"{count} workers: {seconds:.1f} s with Ray's start; videos alone "
                f"{sum(own) / count:.1f} s, {count * frames / sum(own):.0f} frames a second"
            )
            check(out, f"{count} workers")
        for number in range(args.kills):
            for victim in ("worker", "driver"):
                out = folder / f"{victim}{number}"
                command = ["fleet", "predict", *given, "--out", out, "--workers", 2]
                process, after = stad(*command), draw.randrange(1, total // 2)
                while process.poll() is None and len(records(out)) < after:
                    time.sleep(0.02)
                time.sleep(draw.uniform(0, 0.5))
                sessions, before = sessions_of(process.pid), records(out)
                victims = workers_of(process.pid) if victim == "worker" else [process.pid]
                what = f"kill {number} of the {victim} after {len(before)} videos"
                if process.poll() is not None or not victims:
                    problems.append(f"{what}: nothing to kill")
                    process.communicate()
                    continue
                os.kill(draw.choice(victims), signal.SIGKILL)
                if victim == "worker":
                    _, said = timed(process)
                    if "its process died" not in said:
                        problems.append(f"{what}: not told")
                else:
                    process.communicate()
                    until = time.monotonic() + 15
                    while processes_in(sessions) and time.monotonic() < until:
                        time.sleep(0.2)
                    if left := processes_in(sessions):
                        problems.append(f"{what}: {left} processes live on")
                    before = records(out)
                    timed(stad(*command))
                after_all = records(out)
                if any(after_all[video] != record for video, record in before.items()):
                    problems.append(f"{what}: done twice")
                check(out, what)
        out = folder / "nodes"
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1)
        try:
            place = cluster.address
            seconds, _ = timed(stad("fleet", "predict", *given, "--out", out, "--address", place))
            hands = {record["worker"] for record in records(out).values()}
            check(out, f"two nodes, {len(hands)} workers, {seconds:.1f} s")
        finally:
            cluster.shutdown()
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
