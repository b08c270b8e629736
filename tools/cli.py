"""`stad VERB ...`: finds the verb's file and runs it; every verb is also `python tools/VERB.py`.

A verb's module holds `SUMMARY` (one line), `build_parser() -> ArgumentParser` and
`run(args) -> int | None` (None = 0). It imports only light modules at its top: `--help` answers in
under a second.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

VERBS = {
    "demo": "the whole route on generated footage, on the CPU, in minutes",
    "make-footage": "generate annotated restaurant footage",
    "describe": "what a data set holds: classes, sizes, durations, sample frames",
    "convert": "annotations from one format to another",
    "make-clips": "cut long videos to short clips in folders by action label",
    "kmeans-anchors": "anchor priors from a data set's boxes",
    "train": "train a model from a configuration",
    "train-ultralytics": "one of ultralytics' detectors on the same split, into the same report",
    "import-weights": "make a checkpoint of public weights, to evaluate, predict or start from",
    "evaluate": "score a checkpoint or a detections file; write the report",
    "compare": "runs side by side with differences and intervals",
    "predict": "run a checkpoint over videos; write a detections file",
    "live": "a detector or classifier on cameras and streams: pictures, events, recordings",
    "export": "write a checkpoint as an ONNX file for other programs",
    "tubes": "link detections through time into tubes",
    "events": "what happened, when, where and how long: event log, counts over time, plot",
    "render": "draw detections, tubes and truth into a video",
    "train-classifier": "train a clip classifier from a configuration",
    "grid-search": "train a classifier over combinations of settings; a resumable table",
    "cross-validate": "k-fold cross-validation of a classifier by groups, over seeds",
    "classify": "class and probability of videos; timelines of long ones; checklists of steps",
    "explain": "what a model saw: Grad-CAM, guided backpropagation, activation maps",
    "make-keypoints": "body, face and hand keypoints of labelled videos, as a keypoint set",
    "make-reversals": "generate a classification set of exact time reversals",
}


def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in {"-h", "--help", "help"}:
        print(_overview())
        return 0
    if argv[0] in {"-V", "--version"}:
        from importlib.metadata import version

        print(f"stad {version('stadet')}")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        from stadet.engine.errors import neighbours

        print(f"stad: no verb {verb!r}{neighbours(verb, VERBS)}; see stad --help", file=sys.stderr)
        return 2
    module = importlib.import_module("stadet.tools." + verb.replace("-", "_"))
    return run_verb(module, argv[1:], prog=f"stad {verb}")


class VerbParser(argparse.ArgumentParser):
    """A parser whose help also lists the keys of the verb's configuration.

    Attributes:
        configuration: "module:dataclass" of the configuration file; "" for verbs without one.
    """

    configuration = ""

    def format_help(self) -> str:
        text = super().format_help()
        if self.configuration:
            from stadet.engine.config_docs import keys_text

            text += f"\n{keys_text(self.configuration)}\n"
        return text


def make_parser(verb: str, summary: str, examples: str, configuration: str = "") -> VerbParser:
    """A verb's parser: its summary above the options, its examples and keys below them."""
    parser = VerbParser(
        prog=f"stad {verb}",
        description=summary[0].upper() + summary[1:] + ".",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.configuration = configuration
    return parser


def run_verb(module: ModuleType, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Parse, run, and turn a user's mistake into one line and exit code 2.

    So is what a user's machine lacks: memory, OpenCV's system libraries. Ctrl-C gives 130;
    `STAD_TRACEBACK=1` shows every traceback.
    """
    from stadet.engine.allocator import keep_freed_memory
    from stadet.engine.errors import UserError

    keep_freed_memory()
    parser: argparse.ArgumentParser = module.build_parser()
    if prog:
        parser.prog = prog
    try:
        return module.run(parser.parse_intermixed_args(argv)) or 0
    except KeyboardInterrupt as interrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        _let_go(interrupt)
        return 130
    except BrokenPipeError:  # `stad ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, ImportError, MemoryError, RuntimeError) as error:
        line = _what_to_do(error)
        if line is None or os.environ.get("STAD_TRACEBACK"):
            raise
        print(f"{parser.prog}: {line}", file=sys.stderr)
        _let_go(error)
        return 2


def _let_go(error: BaseException | None) -> None:
    """Free what the frames of an error hold: loaders, whose processes end with them.

    Left to the end of the program, or to the collector of cycles, those processes are not told.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _what_to_do(error: Exception) -> str | None:
    """One line for an error that the user can mend; None for a fault of ours."""
    from stadet.engine.errors import UserError

    text = str(error).strip()
    if isinstance(error, UserError):  # of a loading process: its traceback, and then the line
        return text.rpartition("\n")[2].removeprefix("stadet.engine.errors.UserError: ")
    if isinstance(error, ImportError):
        if {"libGL.so.1", "libgthread-2.0.so.0"} & set(text.split(":")):
            return (
                f"OpenCV needs system libraries ({text}); on Debian or Ubuntu: "
                "apt-get install libgl1 libglib2.0-0"
            )
    elif isinstance(error, MemoryError) or "OutOfMemoryError" in type(error).__name__:
        return "memory ran out; make the batch or the network's input smaller"
    elif isinstance(error, RuntimeError) and "DataLoader worker (pid" in text:
        return (
            "a loading process was killed, most likely because memory ran out; lower the number "
            "of workers or the batch, then resume"
        )
    return None


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {summary}" for verb, summary in VERBS.items()]
    return "usage: stad VERB [options]\n\n" + "\n".join(lines) + "\n\nstad VERB --help: examples"


if __name__ == "__main__":
    raise SystemExit(main())
