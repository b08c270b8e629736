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
from typing import TypeVar, overload

VERBS = (
    "demo",
    "make-footage",
    "describe",
    "convert",
    "pre-annotate",
    "annotate-next",
    "make-clips",
    "kmeans-anchors",
    "train",
    "train-ultralytics",
    "import-weights",
    "evaluate",
    "compare",
    "run",
    "predict",
    "fleet",
    "live",
    "serve",
    "export",
    "benchmark",
    "actors",
    "tubes",
    "events",
    "rules",
    "counts",
    "render",
    "train-classifier",
    "grid-search",
    "cross-validate",
    "classify",
    "explain",
    "filmstrip",
    "make-keypoints",
    "make-reversals",
    "cache",
    "completion",
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command `stad`: its exit status."""
    try:
        status = _main(argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `stad ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _main(argv: Sequence[str] | None) -> int:
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
    return run_verb(verb_module(verb), argv[1:], prog=f"stad {verb}")


def verb_module(verb: str) -> ModuleType:
    """The module of a verb, light to import."""
    return importlib.import_module("stadet.tools." + verb.replace("-", "_"))


def summaries() -> dict[str, str]:
    """The summary of each verb."""
    return {verb: verb_module(verb).SUMMARY for verb in VERBS}


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


Parser = TypeVar("Parser", bound=VerbParser)


@overload
def make_parser(verb: str, summary: str, examples: str, configuration: str = "") -> VerbParser: ...
@overload
def make_parser(
    verb: str, summary: str, examples: str, configuration: str = "", *, kind: type[Parser]
) -> Parser: ...
def make_parser(
    verb: str,
    summary: str,
    examples: str,
    configuration: str = "",
    *,
    kind: type[VerbParser] = VerbParser,
) -> VerbParser:
    """A verb's parser: its summary above the options, its examples and keys below them."""
    parser = kind(
        prog=f"stad {verb}",
        description=summary[0].upper() + summary[1:] + ".",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.configuration = configuration
    return parser


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """The one rule: a verb never replaces what is there unless it is told to."""
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are there already"
    )


def run_verb(module: ModuleType, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Parse, run, and turn a user's mistake into one line and exit code 2.

    So is what a user's machine lacks: memory, disk space, OpenCV's system libraries. Ctrl-C gives
    130, SIGTERM 143, SIGHUP 129; `STAD_TRACEBACK=1` shows every traceback.
    """
    from stadet.engine.allocator import keep_freed_memory
    from stadet.engine.errors import UserError
    from stadet.engine.messages import shown_on_terminal
    from stadet.engine.stop import exit_status, stopping_at_once

    keep_freed_memory()
    parser: argparse.ArgumentParser = module.build_parser()
    if prog:
        parser.prog = prog
    try:
        with shown_on_terminal(), stopping_at_once():
            return module.run(parser.parse_intermixed_args(argv)) or 0
    except KeyboardInterrupt as interrupt:
        print(f"{parser.prog}: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        _let_go(interrupt)
        return exit_status(interrupt)
    except (UserError, ImportError, MemoryError, OSError, RuntimeError) as error:
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
    """One line for an error that the user can correct; None for a fault of the toolkit."""
    from stadet.engine.errors import UserError
    from stadet.engine.machine_errors import machine_error

    text = str(error).strip()
    if isinstance(error, UserError):  # of a loading process: its traceback, and then the line
        return text.rpartition("\n")[2].removeprefix("stadet.engine.errors.UserError: ")
    if isinstance(error, ImportError):
        if {"libGL.so.1", "libgthread-2.0.so.0"} & set(text.split(":")):
            return (
                f"OpenCV needs system libraries ({text}); on Debian or Ubuntu: "
                "apt-get install libgl1 libglib2.0-0"
            )
        return None
    return machine_error(error)


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {summary}" for verb, summary in summaries().items()]
    return "usage: stad VERB [options]\n\n" + "\n".join(lines) + "\n\nstad VERB --help: examples"


if __name__ == "__main__":
    raise SystemExit(main())
