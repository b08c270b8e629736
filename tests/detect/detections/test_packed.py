"""Compressed detections files: the same content, to be continued, and what damage does."""

import gzip
import io
import sys

import numpy as np
import pytest

from stadet.detect.detections.reader import read_detections
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError

NAMES = ("wipe", "phone")
SUFFIXES = (".jsonl.gz", ".jsonl.zst")
every_suffix = pytest.mark.parametrize("suffix", SUFFIXES)


def boxes_of(frame: int) -> Detections:
    random = np.random.default_rng(frame)
    corners = random.uniform(0, 50, (frame % 4, 2))
    return Detections(
        np.hstack([corners, corners + 10]), random.random(frame % 4), random.random((frame % 4, 2))
    )


def write(path, frames=range(60), *, resume=False, stop=None):
    """Ranges of ten frames; without the range row of the last one where `stop` comes before it."""
    with DetectionsWriter(path, NAMES, 0.1, resume=resume) as writer:
        for frame in frames:
            if frame == stop:
                return
            writer.write("kitchen", frame, boxes_of(frame))
            if frame % 10 == 9:
                writer.processed("kitchen", frame - 9, frame, fps=25)


def unpack(path) -> bytes:
    if path.suffix == ".gz":
        return gzip.open(path).read()
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(
        io.BytesIO(path.read_bytes()), read_across_frames=True
    )
    return reader.read()


def same(a, b) -> bool:
    assert a.names == b.names
    assert [v.name for v in a] == [v.name for v in b]
    for one, other in zip(a, b, strict=True):
        for frame in range(60):
            mine, theirs = one[frame], other[frame]
            assert (mine is None) == (theirs is None), frame
            if mine is not None:
                np.testing.assert_array_equal(mine.boxes, theirs.boxes)
                np.testing.assert_array_equal(mine.scores, theirs.scores)
    return True


@every_suffix
def test_other_programs_read_the_text_of_the_plain_file(tmp_path, suffix):
    plain, packed = tmp_path / "plain.jsonl", tmp_path / f"packed{suffix}"
    write(plain)
    write(packed)
    assert unpack(packed) == plain.read_bytes()
    assert packed.stat().st_size < plain.stat().st_size
    assert same(read_detections(packed), read_detections(plain))


def test_a_file_that_gzip_packed_as_a_whole_is_read_and_continued(tmp_path):
    plain, packed = tmp_path / "plain.jsonl", tmp_path / "packed.jsonl.gz"
    write(plain, range(34))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert same(read_detections(packed), read_detections(plain))
    write(packed, range(30, 60), resume=True)
    write(plain, range(30, 60), resume=True)
    assert unpack(packed) == plain.read_bytes()


@every_suffix
@pytest.mark.parametrize("stop", [5, 20, 37, 59])
def test_stopped_and_continued_equals_uninterrupted(tmp_path, suffix, stop):
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    write(whole)
    write(parts, stop=stop)
    write(parts, range(stop // 10 * 10, 60), resume=True)
    assert unpack(parts) == unpack(whole)


@every_suffix
def test_a_file_cut_anywhere_keeps_its_finished_blocks_and_continues(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    write(whole)
    content, text = whole.read_bytes(), unpack(whole)
    for length in range(0, len(content), 41):
        cut = tmp_path / f"cut{suffix}"
        cut.write_bytes(content[:length])
        try:
            found = read_detections(cut)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            for video in found:
                for frame in range(60):
                    if video[frame] is not None and len(video[frame]):
                        kept = boxes_of(frame)
                        assert len(video[frame]) <= len(kept)
        with DetectionsWriter(cut, NAMES, 0.1, resume=True):
            pass
        kept = unpack(cut)
        assert text.startswith(kept)
        done = kept.count(b'"processed": [') * 10
        write(cut, range(done, 60), resume=True)
        assert unpack(cut) == text


@every_suffix
def test_damage_is_told_in_a_line(tmp_path, suffix):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(b"this is no compressed file at all")
    with pytest.raises(UserError, match="found damaged content") as told:
        read_detections(path)
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="expected a detections file"):
        read_detections(tmp_path / f"missing{suffix}")


def test_a_missing_package_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "new.jsonl.zst"
    with pytest.raises(UserError, match=r"stadet\[zstd\]"):
        DetectionsWriter(path, NAMES)
    assert not path.exists()
