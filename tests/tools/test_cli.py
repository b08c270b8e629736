import argparse
import importlib
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from stadet.engine.errors import UserError
from stadet.tools import cli

TOOLS = Path(cli.__file__).parent
HEAVY = ("torch", "torchvision", "cv2", "albumentations", "av", "matplotlib", "ultralytics")


def module_of(verb):
    return importlib.import_module("stadet.tools." + verb.replace("-", "_"))


def test_building_any_parser_imports_nothing_heavy():
    names = [f"stadet.tools.{verb.replace('-', '_')}" for verb in cli.VERBS]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name).build_parser().format_help()\n"
        f"    heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_shows_examples(verb):
    module = module_of(verb)
    assert module.SUMMARY and "\n" not in module.SUMMARY
    shown = module.build_parser().format_help()
    assert "examples:" in shown and f"stad {verb}" in shown


def test_no_file_takes_a_name_of_the_standard_library():
    names = {path.stem for path in TOOLS.glob("*.py")} - {"__init__"}
    assert not names & set(sys.stdlib_module_names)


def test_every_verb_keeps_freed_memory(monkeypatch):
    from stadet.engine import allocator

    calls = []
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: calls.append(1))
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert calls


def test_options_may_stand_between_settings(capsys):
    assert cli.main(["train", "seed=3", "--print-config", "yowo.stride=16"]) == 0
    shown = capsys.readouterr().out
    assert "seed: 3" in shown and "stride: 16" in shown


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_the_overview_names_every_verb(arguments, capsys):
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in cli.VERBS)


def test_a_reader_that_stops_early_is_no_error():
    command = f"{sys.executable} -m stadet.tools.cli --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", f"for i in 1 2 3; do {command}; done"], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("0\n" * 3, "")


@pytest.mark.parametrize("verb", ["train", "train-classifier"])
def test_training_without_settings_shows_examples(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([verb]) == 2
    assert f"stad {verb} configs/" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_wrong_verb_names_its_neighbour(capsys):
    assert cli.main(["predcit"]) == 2
    assert "no verb 'predcit' (did you mean predict" in capsys.readouterr().err


def test_a_verb_by_its_path(tmp_path):
    done = subprocess.run(
        [sys.executable, TOOLS / "train.py", "--print-config"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("model: yolo")


def test_another_package_called_datasets_is_left_alone(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, TOOLS / "describe.py", "--data", "x.yaml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{TOOLS.parent}"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("stad describe: x.yaml") and done.stderr.count("\n") == 1


def run_raising(error):
    verb = types.SimpleNamespace(
        build_parser=lambda: argparse.ArgumentParser(prog="stad verb"), run=None
    )

    def run(args):
        raise error

    verb.run = run
    return cli.run_verb(verb, [])


class OutOfMemoryError(RuntimeError):
    """As torch's."""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("what to do"), 2, "stad verb: what to do"),
        (
            UserError(
                "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent "
                "call last):\n  File ..\n"
                "stadet.engine.errors.UserError: a.raw: the cache was changed\n"
            ),
            2,
            "stad verb: a.raw: the cache was changed",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly"),
            2,
            "stad verb: a loading process was killed, most likely because memory ran out; lower "
            "the number of workers or the batch, then resume",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            2,
            "stad verb: memory ran out; make the batch or the network's input smaller",
        ),
        (KeyboardInterrupt(), 130, "stad verb: interrupted"),
    ],
)
def test_what_the_user_can_mend_is_one_line(error, code, line, capsys, monkeypatch):
    monkeypatch.delenv("STAD_TRACEBACK", raising=False)
    assert run_raising(error) == code
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), KeyError("a"), ImportError("b")])
def test_faults_of_ours_keep_their_traceback(error):
    with pytest.raises(type(error)):
        run_raising(error)


def test_tracebacks_on_request(monkeypatch):
    monkeypatch.setenv("STAD_TRACEBACK", "1")
    with pytest.raises(UserError):
        run_raising(UserError("what to do"))
