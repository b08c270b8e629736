"""The verb that lists and empties caches, on files with the names that caches have."""

import os
import time

import pytest

from stadet.engine.cache_folder import cache_folder, frames_folder
from stadet.tools.cli import main


def fake(folder, digest, size="100x60", days=0.0, coding="raw"):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [
        folder / f"{digest * 16}-{size}-{coding}-v1.2-00000000.{suffix}"
        for suffix in ("npz", "raw" if coding == "raw" else "jpeg")
    ]
    for path in paths:
        path.write_bytes(bytes(1 << 20))
        os.utime(path, (time.time() - 86_400 * days,) * 2)
    return paths


@pytest.fixture
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("STAD_CACHE", str(tmp_path / "user"))
    beside = tmp_path / "data" / ".stad-cache"
    old = fake(beside, "a", days=20)
    new = fake(beside, "b", "200x120", coding="q92")
    own = fake(tmp_path / "user" / "frames", "c")
    (beside / "notes.txt").write_text("the user's")
    index = tmp_path / "user" / "video-index" / "0123456789abcdef.npz"
    index.parent.mkdir()
    index.write_bytes(b"x")
    return old, new, own, index


def test_listing_removes_nothing(caches, tmp_path, capsys):
    assert main(["cache", str(tmp_path / "data")]) == 0
    text = capsys.readouterr().out
    assert "frames of 2 videos, 4.0 MiB" in text and "frames of 1 videos, 2.0 MiB" in text
    assert "  100x60 raw: 1 videos" in text and "  200x120 q92: 1 videos" in text
    assert "1 video indices" in text
    assert all(path.exists() for group in caches[:3] for path in group) and caches[3].exists()


def test_only_what_is_old(caches, tmp_path):
    assert main(["cache", str(tmp_path / "data"), "--empty", "--older-than", "7"]) == 0
    old, new, own, index = caches
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in (*new, *own, index))


def test_everything_but_what_is_not_of_the_cache(caches, tmp_path):
    assert main(["cache", str(tmp_path / "data" / ".stad-cache"), "--empty"]) == 0
    assert not any(path.exists() for group in caches[:3] for path in group)
    assert not caches[3].exists()
    assert (tmp_path / "data" / ".stad-cache" / "notes.txt").exists()


def test_a_folder_that_is_not_there(capsys):
    assert main(["cache", "nowhere"]) == 2
    assert "nowhere: expected a data set or a cache folder" in capsys.readouterr().err


def test_where_frames_are_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("STAD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    data, user = tmp_path / "data", tmp_path / "home" / "stad" / "frames"
    videos = [data / "videos" / "a.mp4"]
    assert frames_folder("chosen", data, videos) == frames_folder("chosen")
    assert frames_folder(None, data, videos) == data / ".stad-cache"
    assert frames_folder(None, data, [data / "a.mp4"]) == user  # its folder holds footage
    assert frames_folder(None) == user
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert frames_folder(None, data, videos) == user
    monkeypatch.setenv("STAD_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert frames_folder(None, data, videos) == tmp_path / "own" / "frames"
