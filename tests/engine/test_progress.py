import io
import logging
import sys

import pytest

from stadet.engine import progress as module
from stadet.engine.messages import shown_on_terminal
from stadet.engine.progress import hide_progress, progress, progress_bar, watch_progress


@pytest.fixture
def clock(monkeypatch):
    """A verb with a clock that is set by hand; no line is due yet, as when a program begins."""
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "_due", None)
    with shown_on_terminal():
        yield now


def test_lines_come_at_intervals_with_the_rate_and_the_time_left(clock, capsys):
    with progress_bar(description="epoch 3", total=100, unit="batch") as bar:
        for _ in range(90):  # two a second
            clock[0] += 0.5
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "epoch 3: 20 of 100 batches (20 %), batches/s 2.0, left 0:00:40",
        "epoch 3: 80 of 100 batches (80 %), batches/s 2.0, left 0:00:10",
    ]


def test_one_interval_holds_over_all_bars(clock, capsys):
    for epoch in range(12):  # each too short for a line of its own
        for _ in progress(range(10), description=f"epoch {epoch}", unit="batch"):
            clock[0] += 0.5
    begun = [line.split(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert begun == ["epoch 1", "epoch 7"]


def test_a_loops_facts_take_the_place_of_the_bars_own(clock, capsys):
    with progress_bar(description="epoch 0", total=40, unit="batch") as bar:
        bar.update(4)
        bar.set_postfix({"step": "7/900", "loss": "1.250", "left": "1:02:03"}, refresh=False)
        clock[0] += 11
        bar.update()
    assert capsys.readouterr().err == (
        "epoch 0: 5 of 40 batches (12 %), step 7/900, loss 1.250, left 1:02:03\n"
    )


def test_work_without_an_end_has_no_time_left(clock, capsys):
    with progress_bar(description="camera0", total=None, unit="frame") as bar:
        bar.update()
        clock[0] += 12
        bar.update(1200)
    assert capsys.readouterr().err == "camera0: 1,201 frames\n"


def test_a_hidden_bar_says_nothing(clock, capsys):
    with progress_bar(description="x", total=3, hidden=True) as bar:
        clock[0] += 60
        bar.update()
        bar.update()
    assert capsys.readouterr().err == ""


def test_a_watcher_is_told_and_may_end_the_work():
    told = []

    def watcher(description, done, total):
        told.append((description, done, total))
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError), watch_progress(watcher):
        for _ in progress(range(10), description="frames"):
            pass
    assert told == [("frames", n, 10) for n in (1, 2, 3)]
    assert len(list(progress(range(4), description="frames"))) == 4 and len(told) == 3


def test_a_program_that_watches_hidden_progress_sees_it_alone(clock, capsys):
    told = []
    with watch_progress(lambda *now: told.append(now)), hide_progress():
        for _ in progress(range(50), description="frames"):
            clock[0] += 1
    assert len(told) == 50 and capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Notebook(io.StringIO):
    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize("kind", [Terminal, Notebook])
def test_terminals_and_notebooks_show_a_bar_unless_it_is_hidden(kind, monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := kind())
    assert list(progress(range(3), description="frames")) == [0, 1, 2]
    assert "frames" in shown.getvalue() and "/3" in shown.getvalue()
    monkeypatch.setattr(sys, "stderr", shown := kind())
    with hide_progress():
        assert list(progress(range(3), description="frames")) == [0, 1, 2]
    assert shown.getvalue() == ""


def test_a_programs_log_has_the_lines(clock):
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append((record.name, record.levelname))
    logging.getLogger("stadet").addHandler(handler)
    try:
        for _ in progress(range(12), description="frames"):
            clock[0] += 1
    finally:
        logging.getLogger("stadet").removeHandler(handler)
    assert found == [("stadet.progress", "INFO")]
