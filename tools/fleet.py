"""stad fleet: predict, run or classify over thousands of videos, on many workers or machines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from stadet.tools.cli import VerbParser, make_parser, verb_module

SUMMARY = "predict, run or classify over thousands of videos, on many workers or machines"
EXAMPLES = """\
examples:
  stad fleet predict footage/ --checkpoint runs/yolov3/best.pt --out detections
  stad fleet predict footage/ --checkpoint runs/yolov3/best.pt --out detections --workers 8 --cpus 2
  stad fleet run footage/ --checkpoint runs/recurrent/best.pt --out results --gpus 0.5
  stad fleet classify clips/ --checkpoint runs/handwash/best.pt --out answers
  stad fleet predict s3://cameras/2026/ --checkpoint s3://models/best.pt --out s3://results/2026 \\
      --address auto

Run the same command again to continue after anything: what is done stays. A video that fails is
told, with its worker, and does not stop the others; the exit code is then 1. Needs the extra
`fleet` (Ray); s3:// also s3fs, gs:// gcsfs. docs/scaling.md has the rest.
"""
WORKS = {
    "predict": "NAME.jsonl for each video, as of stad predict",
    "run": "a folder for each video, as of stad run",
    "classify": "a folder for each video, as of stad classify",
}


class FleetParser(VerbParser):
    """A parser of verbs below a verb, which take sources and options in any order."""

    below: dict[str, argparse.ArgumentParser]

    def parse_intermixed_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> argparse.Namespace:
        given = list(sys.argv[1:] if args is None else args)
        if not given or given[0] not in self.below:
            return self.parse_args(given, namespace)
        found = self.below[given[0]].parse_intermixed_args(given[1:], namespace)
        found.work = given[0]
        return found


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("fleet", SUMMARY, EXAMPLES, kind=FleetParser)
    below = parser.add_subparsers(
        dest="work", required=True, metavar="VERB", parser_class=VerbParser
    )
    parser.below = {}
    for work, summary in WORKS.items():
        own = below.add_parser(
            work,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_fleet_options(own)
        verb_module(work).add_options(own.add_argument_group(f"as of stad {work}"))
        if work == "predict":
            own.add_argument(
                "--suffix",
                choices=(".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"),
                default=".jsonl",
                help="of the detections files, as the name of --out of stad predict says it",
            )
        parser.below[work] = own
    return parser


def add_fleet_options(parser: argparse.ArgumentParser) -> None:
    """The options of the fleet itself."""
    add = parser.add_argument
    add("sources", nargs="+", help="video files, frame folders, folders of videos, or URLs")
    add("--out", required=True, metavar="PLACE", help="folder or URL for all results")
    add("--overwrite", action="store_true", help="replace results of other settings or videos")
    add("--workers", type=int, help="how many (default: one for each GPU, or each --cpus cores)")
    add("--cpus", type=float, default=1, help="cores of each worker (default 1)")
    add("--gpus", type=float, help="GPUs of each worker; 0.5: two share one (default: 1 if any)")
    add("--address", help="of a Ray cluster: HOST:PORT, or auto (default: this machine alone)")
    add("--retries", type=int, default=2, help="tries after the first one (default 2)")
    add("--scratch", metavar="FOLDER", help="of each machine, for copies of videos")


def run(args: argparse.Namespace) -> int:
    from stadet.tools.cluster.fleet import run_fleet

    given = vars(args)
    options = verb_module(args.work).options(given)
    if args.work == "predict":
        options["suffix"] = args.suffix
    result = run_fleet(
        args.work,
        args.sources,
        args.checkpoint,
        args.out,
        options=options,
        workers=args.workers,
        cpus=args.cpus,
        gpus=args.gpus,
        address=args.address,
        retries=args.retries,
        overwrite=args.overwrite,
        scratch=args.scratch,
    )
    print(
        f"{result.out}: {len(result.done):,} videos done ({result.frames:,} frames), "
        f"{len(result.kept):,} done before, {len(result.failed):,} failed"
    )
    return 1 if result.failed else 0


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
