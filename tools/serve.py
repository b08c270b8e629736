"""stad serve: a service with pages over a folder of models."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "a service with pages: drop videos, get boxes, events, timelines and checklists"
EXAMPLES = """\
examples:
  stad serve --models models/
  stad serve --models models/ --runs runs/ --port 9000 --workers 2
  stad live rtsp://192.0.2.7/counter --checkpoint best.pt --serve 8001 &
  stad serve --models models/ --live http://127.0.0.1:8001/
  stad serve --models models/ --scenes scenes/
  STAD_TOKEN=a-long-secret-of-yours stad serve --models models/ --host 0.0.0.0

Pages at http://127.0.0.1:8000/, the description of the interface at /api/openapi.json. Jobs wait in
a file and survive a restart. Any address but the loopback one needs a token. Needs the extra
`serve`: pip install -e '.[serve]'.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("serve", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--models", type=Path, required=True, help="folder of checkpoints that may be used")
    add("--data", type=Path, default=Path("stad-service"), help="the service's own folder")
    add("--runs", type=Path, help="folder of training runs, to show their reports")
    add("--scenes", type=Path, help="folder of scene files: edit their zones over a frame")
    add("--live", metavar="ADDRESS", help="show the cameras of a running stad live --serve PORT")
    add("--host", default="127.0.0.1", help="address to listen at (default: loopback)")
    add("--port", type=int, default=8000)
    add("--token", help="secret that requests must carry (default: the variable STAD_TOKEN)")
    add("--workers", type=int, default=1, help="jobs at once")
    add("--upload-mb", type=float, default=2000, help="largest upload, MiB")
    add("--upload-idle-seconds", type=float, default=30, help="longest pause of an upload")
    add("--upload-minutes", type=float, default=120, help="longest that an upload may take")
    add("--video-minutes", type=float, default=120, help="longest video")
    add("--frame-megapixels", type=float, default=9, help="largest frame")
    add("--video-gigapixels", type=float, default=1000, help="most pixels of all frames together")
    add("--job-minutes", type=float, default=240, help="longest job")
    add("--job-gb", type=float, default=16, help="memory of a job, GiB")
    add("--keep-days", type=float, default=30, help="delete finished jobs after so long")
    add("--keep-gb", type=float, default=100, help="delete the oldest jobs above this size")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError

    try:
        from stadet.tools.service.server import serve
        from stadet.tools.service.settings import ServiceSettings
    except ImportError as error:
        raise UserError(
            f"stad serve needs the extra `serve` ({error}): pip install -e '.[serve]'"
        ) from error
    values = {name: getattr(args, name) for name in ServiceSettings.__dataclass_fields__}
    values["token"] = args.token or os.environ.get("STAD_TOKEN") or None
    serve(ServiceSettings(**values))


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
