"""Damaged files of every kind give a result or one line, without eating memory."""

import pytest

from tests.fuzz.footage import small_videos
from tests.fuzz.fuzzing import Figures, fuzz_readers, fuzz_videos

GIBIBYTE = 1 << 30


def expect_sound(figures: Figures) -> None:
    assert figures.faults == []
    assert figures.growth < GIBIBYTE
    assert figures.read and figures.refused  # neither everything nor nothing was let through


def test_readers(tmp_path, monkeypatch):
    monkeypatch.setenv("STAD_TRACEBACK", "1")  # what nobody thought of is a fault
    expect_sound(fuzz_readers(700, seed=0, folder=tmp_path, seconds=10))


def test_videos(tmp_path, monkeypatch):
    monkeypatch.setenv("STAD_TRACEBACK", "1")
    expect_sound(fuzz_videos(15, seed=0, folder=tmp_path, videos=small_videos()))


@pytest.mark.slow
def test_readers_for_long(tmp_path):
    figures = fuzz_readers(20_000, seed=1, folder=tmp_path)
    expect_sound(figures)
    assert figures.mutations == 20_000 and min(figures.by_target.values()) > 400


@pytest.mark.slow
def test_videos_for_long(tmp_path):
    figures = fuzz_videos(500, seed=1, folder=tmp_path, videos=small_videos())
    expect_sound(figures)
    assert figures.mutations == 500
