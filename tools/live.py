"""stad live: a detector or clip classifier on cameras and network streams, as they happen."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "a detector or classifier on cameras and streams: pictures, events, recordings"
EXAMPLES = """\
examples:
  stad live camera:0 --checkpoint runs/yolov3/best.pt --show
  stad live rtsp://192.0.2.7/counter --checkpoint runs/recurrent/best.pt --serve 8000
  stad live camera:0 rtsp://192.0.2.7/side --checkpoint best.pt --serve 8000 --events today.jsonl
  stad live camera:0 --checkpoint best.pt --scene scene.yaml --events -    # rules' hits too
  stad live camera:0 --checkpoint best.pt --scene scene.yaml --webhook https://192.0.2.9/hits
  stad live camera:0 --checkpoint best.pt --scene scene.yaml --events e.jsonl --clips hits
  stad live camera:0 --checkpoint best.pt --scene scene.yaml --counts counts --serve 8000
  stad live camera:0 --checkpoint best.pt --scene scene.yaml --actors --events e.jsonl
  stad live camera:0 --checkpoint best.pt --record recordings --evidence-only
  stad live camera:0 --checkpoint runs/gestures/best.pt --show --area 0.25 0.1 0.75 0.9
  stad live kitchen.mp4 --realtime --checkpoint best.pt --serve 8000   (a file as if it were live)

Sources: camera:N or N, rtsp://, http:// and https:// (files, MJPEG, HLS), - (standard input), and
video files. A slow model sees fewer frames of a live source, never late ones; how many were dropped
is told. A connection that breaks off is made again, with growing pauses. Ctrl-C, or q in a window,
ends.
"""


def build_parser() -> argparse.ArgumentParser:
    from stadet.tools.inference.runtimes import add_runtime_arguments

    parser = make_parser("live", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("sources", nargs="+", help="cameras, addresses or files")
    add("--checkpoint", required=True, help="of a detector or a clip classifier, or .onnx of one")
    add("--threshold", type=float, help="score to draw and to tell (default: the checkpoint's)")
    add("--fps", help="frames a second for the model: native or a number (default: its training's)")
    add("--realtime", action="store_true", help="play files at their own speed, as a camera would")
    add("--every-frame", action="store_true", help="answer for every frame, however late")
    add("--show", action="store_true", help="windows on this machine's display")
    add("--serve", type=int, metavar="PORT", help="a page with the pictures at this port")
    add("--host", default="127.0.0.1", help="address that the page listens at (default: loopback)")
    add("--record", metavar="FOLDER", help="write the pictures as H.264, one file a stream")
    add("--evidence-only", action="store_true", help="record only while an action goes on")
    add("--scene", metavar="FILE", help="zones and rules of the streams (docs/rules.md)")
    add("--actors", action="store_true", help="draw and tell ids of hands and people")
    add("--clips", metavar="FOLDER", help="write a clip of every hit of a rule; needs --scene")
    add(
        "--clip-seconds",
        type=float,
        default=2.0,
        metavar="S",
        help="shown before and after a hit (%(default)s)",
    )
    add(
        "--counts",
        metavar="FOLDER",
        help="count meals, stock and use, a folder for each day; needs --scene (docs/counts.md)",
    )
    add("--events", metavar="FILE", help="append events as JSON Lines; - for standard output")
    add("--webhook", metavar="ADDRESS", help="post the events there, as JSON (docs/rules.md)")
    add(
        "--webhook-folder",
        metavar="FOLDER",
        default="webhook",
        help="events that have not arrived yet, and dead letters (%(default)s)",
    )
    add(
        "--max-latency",
        type=float,
        metavar="MS",
        help="leave out frames where pictures are later than this",
    )
    add(
        "--scene-cuts",
        type=float,
        nargs="?",
        const=0.5,
        metavar="SHARE",
        help="begin a new stream where this share of the colours changes from one frame to the "
        "next (without a value: 0.5)",
    )
    add(
        "--max-outage",
        type=float,
        metavar="S",
        help="end where a stream is away for so long",
    )
    add("--seconds", type=float, help="end after so long")
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    add_runtime_arguments(parser)
    group = parser.add_argument_group("clip classifiers")
    group.add_argument("--window-seconds", type=float, default=2.0, help="length of a clip (2)")
    group.add_argument("--stride-seconds", type=float, default=0.5, help="between answers (0.5)")
    group.add_argument(
        "--area",
        type=float,
        nargs=4,
        metavar=("X1", "Y1", "X2", "Y2"),
        default=(0.0, 0.0, 1.0, 1.0),
        help="part of the frame to classify, in shares of its sides",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError
    from stadet.engine.limits import expect_within
    from stadet.tools.inference.runtimes import RuntimeOptions
    from stadet.tools.streams.counts_board import CountsBoard
    from stadet.tools.streams.live import run_live
    from stadet.tools.streams.sessions import session_maker

    for name in ("max_latency", "max_outage", "seconds"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise UserError(f"--{name.replace('_', '-')}: expected above 0, found {value}")
    if args.evidence_only and not args.record:
        raise UserError("--evidence-only: expected --record FOLDER with it")
    if args.clips and not args.scene:
        raise UserError("--clips: expected --scene FILE with it, whose rules are hit")
    if args.counts and not args.scene:
        raise UserError("--counts: expected --scene FILE with it, which says what is counted")
    expect_within("--clip-seconds", args.clip_seconds, 0, 60)
    scene = counts = None
    if args.scene:
        from stadet.datasets.live.source import parse_sources
        from stadet.detect.scene.file import read_scene

        scene = read_scene(args.scene)
        streams = [source.name for source in parse_sources(args.sources)]
        for name in streams:
            scene.camera_of(name)  # a stream without one is told before any opens
        if args.counts:
            say = functools.partial(print, file=sys.stderr, flush=True)
            counts = CountsBoard(scene, args.counts, streams, notify=say)
    make_session = session_maker(
        Path(args.checkpoint),
        RuntimeOptions.for_file(
            args.checkpoint, args.runtime, args.precision, args.temporal_every, args.feature_bank
        ),
        device=args.device,
        threshold=args.threshold,
        fps=args.fps,
        window_seconds=args.window_seconds,
        stride_seconds=args.stride_seconds,
        area=tuple(args.area),
        scene=scene,
        actors=args.actors,
        counts=counts,
    )
    run_live(
        args.sources,
        make_session,
        realtime=args.realtime,
        every_frame=args.every_frame,
        serve=args.serve,
        host=args.host,
        window=args.show,
        record=args.record,
        evidence_only=args.evidence_only,
        events=args.events,
        webhook=args.webhook,
        webhook_folder=args.webhook_folder,
        webhook_secret=os.environ.get("STAD_WEBHOOK_SECRET") or None,
        clips=args.clips,
        clip_seconds=args.clip_seconds,
        clip_wait=max((rule.longest_wait for rule in scene.rules), default=0.0) if scene else 0.0,
        counts=counts,
        scene_cuts=args.scene_cuts,
        max_latency=args.max_latency,
        max_seconds=args.seconds,
        max_outage=args.max_outage,
    )


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
