"""A disk that fills up under a detections file: one line, and what was finished stays."""

import contextlib
import os
import subprocess

import numpy as np
import pytest

from stadet.detect.detections.reader import read_detections
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError

NAMES = ("pick", "put")


def found(count=20):
    boxes = np.tile([1.0, 2.0, 30.0, 40.0], (count, 1))
    return Detections(boxes, np.full(count, 0.9), np.full((count, 2), 0.5))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_frames_that_were_finished_stay_and_are_continued(small_disk, tmp_path):
    path, last = small_disk / "a.jsonl", None
    with (
        pytest.raises(UserError, match=r"^cannot write .*a\.jsonl: the disk is full"),
        DetectionsWriter(path, NAMES) as writer,
    ):
        for frame in range(1000):
            writer.write("v", frame, found())
            writer.processed("v", frame, frame)
            last = frame
    assert last is not None
    whole = tmp_path / "a.jsonl"
    whole.write_bytes(path.read_bytes())  # room was made
    with DetectionsWriter(whole, NAMES, resume=True) as writer:
        writer.write("v", last + 1, found())
        writer.processed("v", last + 1, last + 1)
    (video,) = read_detections(whole, NAMES)
    assert video.processed[-1, 1] == last + 1


def test_a_disk_without_any_room_leaves_no_file(small_disk):
    with contextlib.suppress(OSError), open(small_disk / "other", "wb") as stream:
        while True:
            stream.write(bytes(4096))
            stream.flush()
    with pytest.raises(UserError, match="the disk is full"):
        DetectionsWriter(small_disk / "a.jsonl", NAMES)
    assert [p.name for p in small_disk.iterdir()] == ["other"]


def test_a_device_is_not_removed():
    if not os.path.exists("/dev/full"):
        pytest.skip("no such device")
    with pytest.raises(UserError, match="the disk is full"):
        DetectionsWriter("/dev/full", NAMES)
    assert os.path.exists("/dev/full")
