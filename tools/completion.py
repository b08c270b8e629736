"""stad completion: a script that lets the shell complete verbs, options and files."""

from __future__ import annotations

import argparse
import sys

from stadet.tools.cli import VERBS, make_parser, verb_module

SUMMARY = "a script that completes stad's verbs and options in the shell"
EXAMPLES = """\
examples:
  stad completion bash > ~/.local/share/bash-completion/completions/stad
  stad completion zsh > ~/.zfunc/_stad        (a folder of $fpath, before compinit)
  stad completion tcsh > ~/.stad.completion.csh && source ~/.stad.completion.csh

Needs pip install -e '.[completion]'. Write the script again after an update of the toolkit.
"""
SHELLS = ("bash", "zsh", "tcsh")


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("completion", SUMMARY, EXAMPLES)
    parser.add_argument("shell", choices=SHELLS)
    return parser


def run(args: argparse.Namespace) -> None:
    print(completion_script(args.shell))


def completion_script(shell: str) -> str:
    """The completion script of "bash", "zsh" or "tcsh".

    Raises:
        UserError: where the package shtab is missing.
    """
    from stadet.engine.errors import UserError

    try:
        import shtab
    except ImportError as error:
        raise UserError(
            "stad completion needs the package shtab: pip install -e '.[completion]'"
        ) from error
    whole = argparse.ArgumentParser(prog="stad")
    parsers = whole.add_subparsers()
    for verb in VERBS:
        module = verb_module(verb)
        own = parsers.add_parser(
            verb,
            parents=[module.build_parser()],
            add_help=False,
            help=module.SUMMARY,
            conflict_handler="resolve",
        )
        for action in own._actions:
            takes_text = action.nargs != 0 and action.type not in (int, float)
            if takes_text and not action.choices:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(whole, shell)


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
