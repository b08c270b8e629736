import ast
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stadet
from stadet.engine.findings import Findings
from stadet.engine.messages import PROGRESS, shown_on_terminal

ROOT = Path(stadet.__file__).resolve().parent.parent
LIBRARY = ("anchors", "classify", "datasets", "detect", "engine", "recurrent_yolo", "yowo")
PROGRAMS = {  # they run in a process of the toolkit's own
    "engine/messages.py",
    "tools/inference/benchmark_process.py",
    "tools/training/command.py",  # --print-config
    "tools/training/demo.py",
}


@pytest.fixture
def log():
    return logging.getLogger("stadet.somewhere")


def test_the_terminal_shows_lines_as_print_does(log, capsys):
    with shown_on_terminal():
        log.info("found: 100 %")
        log.debug("not shown")
        log.warning("note: left out", extra={"stdout": True})
        log.warning("a.mp4: two\nlines")
        logging.getLogger(PROGRESS).info("epoch 3: 1 of 2")
        logging.getLogger("another").warning("of another package")
    out, err = capsys.readouterr()
    assert out == "found: 100 %\nnote: left out\n"
    assert err == "a.mp4: two\nlines\nepoch 3: 1 of 2\n"


def test_a_verb_within_a_verb_shows_each_line_once(log, capsys):
    with shown_on_terminal():
        with shown_on_terminal():
            log.info("one")
        log.info("two")
    assert capsys.readouterr().out == "one\ntwo\n"


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_afterwards_logging_is_as_before(error):
    logger = logging.getLogger("stadet")

    def state():
        root = logging.getLogger()
        return (
            [*logger.handlers],
            logger.level,
            logger.propagate,
            [*root.handlers],
            root.level,
        )

    before = state()
    try:
        with shown_on_terminal():
            assert state() != before
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert state() == before


def test_a_pipe_that_nobody_reads_ends_a_verb_as_print_does():
    code = (
        "import logging, os\n"
        "from stadet.engine.messages import shown_on_terminal\n"
        "with shown_on_terminal():\n"
        "    for _ in range(9): logging.getLogger('stadet.x').info('line')\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert "BrokenPipeError" in done.stderr and "Logging error" not in done.stderr


def test_python_without_logging_shows_warnings_alone():
    code = (
        "from stadet.engine.findings import Findings; import logging\n"
        "findings = Findings(); findings.note('a.xml', 'boxes clipped', 2); findings.report()\n"
        "logging.getLogger('stadet.x').info('no')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "a.xml: 2 boxes clipped\n")


def test_a_host_gets_records(caplog, capsys):
    findings = Findings()
    findings.note("a.xml", "boxes clipped", 2, first="frame 7")
    findings.report()
    assert caplog.record_tuples == [
        ("stadet.engine.findings", logging.WARNING, "a.xml: 2 boxes clipped (first: frame 7)")
    ]
    assert capsys.readouterr() == ("", "")


def library_files():
    for folder in LIBRARY:
        yield from (ROOT / folder).rglob("*.py")
    yield ROOT / "stadet" / "__init__.py"
    for folder in ("classification", "data", "evaluation", "inference", "training"):
        yield from (ROOT / "tools" / folder).rglob("*.py")


def test_library_code_never_prints():
    printing = {
        file.relative_to(ROOT).as_posix()
        for file in library_files()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "logging.basicConfig")
    }
    assert printing == PROGRAMS
