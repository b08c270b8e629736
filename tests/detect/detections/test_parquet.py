"""Parquet detections files: what the text says to the bit, continued, and damaged."""

import json
import random
import sys

import numpy as np
import pytest

from stadet.detect.detections.parquet import unfinished
from stadet.detect.detections.reader import read_detections, read_floor
from stadet.detect.detections.recode import recode_detections
from stadet.detect.detections.writer import DetectionsWriter, written_so_far
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ("wipe", "phone", "pour")


def boxes_of(frame: int) -> Detections:
    rng = np.random.default_rng(frame)
    count = frame % 4
    corners = rng.uniform(0, 50, (count, 2))
    objectness = np.where(rng.random(count) < 0.3, np.nan, rng.random(count))
    scores = rng.random((count, 3)) * (rng.random((count, 3)) < 0.7)
    return Detections(np.hstack([corners, corners + 10]), objectness, scores)


def write(path, frames=range(60), *, resume=False, stop=None):
    """Two videos, one of them timed, in ranges of ten frames; `stop`: killed before this frame."""
    writer = DetectionsWriter(path, NAMES, 0.1, resume=resume)
    for frame in frames:
        if frame == stop:
            writer._close_stream()  # as a kill leaves it
            return
        for video in ("kitchen", "bär"):
            writer.write(video, frame, boxes_of(frame))
        if frame % 10 == 9:
            times = [0.1 * f + 0.001 * (f % 3) for f in range(frame - 9, frame + 1)]
            writer.processed("kitchen", frame - 9, frame, fps=29.97)
            writer.processed("bär", frame - 9, frame, times=times)
    writer.close()


def bits(array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def assert_same(found, wanted, *, in_order=True):
    assert found.names == wanted.names and found.score_floor == wanted.score_floor
    assert found.videos.keys() == wanted.videos.keys()
    assert list(found.videos) == list(wanted.videos) or not in_order
    for name, one in found.videos.items():
        other = wanted.videos[name]
        for field in ("frames", "boxes", "objectness", "scores", "processed"):
            mine, theirs = getattr(one, field), getattr(other, field)
            assert mine.dtype == theirs.dtype and bits(mine) == bits(theirs), field
        assert (one.clock is None) == (other.clock is None)
        if one.clock is not None:
            assert one.clock.fps == other.clock.fps
            assert (one.clock.times is None) == (other.clock.times is None)
            if one.clock.times is not None:
                assert bits(one.clock.times) == bits(other.clock.times)


def test_it_says_what_the_text_says(tmp_path):
    plain, columns = tmp_path / "d.jsonl", tmp_path / "d.parquet"
    write(plain)
    write(columns)
    assert [p.name for p in tmp_path.iterdir() if "unfinished" in p.name] == []
    assert_same(read_detections(columns), read_detections(plain))
    reversed_names = NAMES[::-1]
    assert_same(read_detections(columns, reversed_names), read_detections(plain, reversed_names))
    assert read_floor(columns) == 0.1


def test_ranges_of_different_rates_stay_apart(tmp_path):
    plain, columns = tmp_path / "d.jsonl", tmp_path / "d.parquet"
    for path in (plain, columns):
        with DetectionsWriter(path, NAMES) as writer:
            writer.processed("v", 0, 9, fps=25)
            writer.processed("v", 10, 19, fps=30)
    assert_same(read_detections(columns), read_detections(plain))


def test_numbers_of_any_program_come_back_to_the_bit(tmp_path):
    rng = np.random.default_rng(1)
    header = {
        "schema": "stad-detections/1",
        "categories": [{"id": "x", "name": "wipe"}, {"id": 7, "name": "phone"}],
        "score_floor": 1e-7,
        "made_by": "hand",
    }
    rows = [
        {
            "video": f"v{i % 3}",
            "frame": int(rng.integers(0, 40)),
            "bbox": (rng.random(4) * 10.0 ** rng.integers(-12, 12)).tolist(),
            "objectness": None if i % 5 == 0 else float(rng.random()),
            "scores": {k: float(rng.random() ** 9) for k in ("x", "7") if rng.random() < 0.7},
        }
        for i in range(300)
    ]
    rows[4]["scores"], rows[5]["scores"] = {"x": 0}, {"x": 5e-324, "7": 1}
    rows += [{"video": "empty", "processed": [3, 4]}, {"video": "v1", "processed": [0, 2]}]
    plain, columns, back = (tmp_path / n for n in ("d.jsonl", "d.parquet", "e.jsonl"))
    plain.write_text("".join(json.dumps(row) + "\n" for row in (header, *rows)))
    assert recode_detections(plain, columns) == []
    assert_same(read_detections(columns), read_detections(plain))
    recode_detections(columns, back)
    # rows that no range holds come last in the text
    assert_same(read_detections(back), read_detections(plain), in_order=False)
    assert json.loads(back.read_text().splitlines()[0])["made_by"] == "hand"


def test_other_programs_read_it(tmp_path):
    path = tmp_path / "d.parquet"
    write(path, range(10))
    frame = pq.read_table(path).to_pandas()
    wanted = boxes_of(7)
    rows = frame[(frame.video == "bär") & (frame.frame == 7)]
    np.testing.assert_allclose(rows[["x", "y"]].to_numpy(), wanted.boxes[:, :2], atol=5e-4)
    listed = [
        [(c + 1, pytest.approx(s, abs=1e-8)) for c, s in enumerate(row) if s >= 0.1]
        for row in wanted.scores
    ]
    assert rows.scores.tolist() == listed


def test_rewritten_by_another_program_it_is_still_read(tmp_path):
    path, other = tmp_path / "d.parquet", tmp_path / "e.parquet"
    write(path)
    table = pq.read_table(path)
    table = table.set_column(0, "video", table["video"].cast(pa.large_string()))
    table = table.select(table.column_names[::-1]).append_column("own", table["frame"])
    pq.write_table(table, other, row_group_size=7, compression="snappy")
    assert_same(read_detections(other), read_detections(path))


@pytest.mark.parametrize("stop", [5, 20, 37, 59])
def test_killed_and_continued_equals_uninterrupted(tmp_path, stop):
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
    write(whole)
    write(parts, stop=stop)
    assert not parts.exists()
    assert written_so_far(parts) == unfinished(parts)
    with pytest.raises(UserError, match=r"found only parts\.parquet\.unfinished\.jsonl"):
        read_detections(parts)
    assert len(read_detections(unfinished(parts)))  # what was reached can be used
    write(parts, range(stop // 10 * 10, 60), resume=True)
    assert_same(read_detections(parts), read_detections(whole))
    assert not unfinished(parts).exists()


def test_a_finished_file_is_continued(tmp_path):
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
    write(whole)
    write(parts, range(34))  # four frames beyond the last range, as an error leaves them
    write(parts, range(30, 60), resume=True)
    assert_same(read_detections(parts), read_detections(whole))


def test_another_header_is_not_continued_and_nothing_changes(tmp_path):
    path = tmp_path / "d.parquet"
    write(path)
    content = path.read_bytes()
    with pytest.raises(UserError, match="found another header"):
        DetectionsWriter(path, ("other",), resume=True)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["d.parquet"]


def test_an_error_before_the_first_finished_range_leaves_nothing(tmp_path):
    def fail(path, *, after_range):
        with DetectionsWriter(path, NAMES) as writer:
            writer.write("v", 0, boxes_of(1))
            if after_range:
                writer.processed("v", 0, 0)
            raise RuntimeError

    for after_range in (False, True):
        with pytest.raises(RuntimeError):
            fail(tmp_path / "d.parquet", after_range=after_range)
        assert [p.name for p in tmp_path.iterdir()] == ["d.parquet"] * after_range


def test_an_empty_file_of_a_finished_run(tmp_path):
    path = tmp_path / "d.parquet"
    with DetectionsWriter(path, NAMES) as writer:
        writer.processed("v", 0, 5)
    (video,) = read_detections(path)
    assert len(video) == 0 and video.processed.tolist() == [[0, 5]] and video.num_classes == 3


def test_rows_that_cannot_be_used_are_counted_and_left_out(tmp_path):
    path, other = tmp_path / "d.parquet", tmp_path / "e.parquet"
    write(path, range(10))
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["frame"] = None
    rows[1]["x"] = None
    rows[2]["frame"] = 2**62
    rows[3]["width"] = -1.0
    rows[4]["scores"] = [(1, float("nan")), (9, 0.5), (2, 0.5)]
    rows[5]["scores"] = None
    changed = pa.Table.from_pylist(rows, schema=table.schema)
    pq.write_table(changed, other)
    found = read_detections(other)
    for what in ("3 rows that are no detection", "negative width", "NaN", "does not list"):
        assert any(what in note for note in found.notes), (what, found.notes)
    assert len(found) == len(read_detections(path)) - 4
    with pytest.raises(UserError):
        read_detections(other, strict=True)
    for name in ("text.jsonl", "again.parquet"):
        notes = recode_detections(other, tmp_path / name)
        assert any("3 rows that are no detection" in note for note in notes), notes
        assert any("does not list" in note for note in notes), notes
    content = other.read_bytes()
    with pytest.raises(UserError, match="3 rows that are no detection"):
        DetectionsWriter(other, NAMES, 0.1, resume=True)
    assert other.read_bytes() == content and not unfinished(other).exists()


def test_files_that_are_no_detections_are_told_in_a_line(tmp_path):
    path = tmp_path / "d.parquet"
    write(path, range(10))
    table = pq.read_table(path)

    def told(changed) -> str:
        pq.write_table(changed, path)
        with pytest.raises(UserError) as error:
            read_detections(path)
        assert "\n" not in str(error.value) and str(path) in str(error.value)
        return str(error.value)

    assert "expected the header" in told(table.replace_schema_metadata({}))
    assert "found no frame" in told(table.drop_columns("frame"))
    text = table["frame"].cast(pa.string())
    assert "expected numbers, found string" in told(table.set_column(1, "frame", text))
    assert "from string to map" in told(table.set_column(7, "scores", text))
    header = json.loads(table.schema.metadata[b"stad-detections"])
    for ranges in (5, [{"video": "v", "processed": [5, 2]}], [{"video": "v"}]):
        line = json.dumps({**header, "processed": ranges}).encode()
        message = told(table.replace_schema_metadata({"stad-detections": line}))
        assert "expected ranges of processed frames" in message
    for content in (b"", b"PAR1", b"{}\n" * 20):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"expected a detections file of Parquet") as error:
            read_detections(path)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="expected a detections file"):
        read_detections(tmp_path / "missing.parquet")


def test_every_cut_and_damage_is_told_in_a_line(tmp_path):
    whole, path = tmp_path / "whole.parquet", tmp_path / "d.parquet"
    write(whole)
    content, wanted = whole.read_bytes(), read_detections(whole)
    rng = random.Random(0)
    cuts = [content[:length] for length in range(0, len(content), 131)]
    flips = []
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        flips.append(bytes(changed))
    told = 0
    for number, damaged in enumerate((*cuts, *flips)):
        path.write_bytes(damaged)
        try:
            found = read_detections(path)
        except UserError as error:
            told += 1
            assert "\n" not in str(error)
        else:  # in a byte that nothing is read from
            assert number >= len(cuts)
            for one, other in zip(found, wanted, strict=True):
                assert bits(one.boxes) == bits(other.boxes)
                assert bits(one.scores) == bits(other.scores)
    assert told > len(cuts) + 200


def test_a_missing_package_is_told_before_anything_is_written(tmp_path, monkeypatch):
    path = tmp_path / "d.parquet"
    write(path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"stadet\[parquet\]"):
        read_detections(path)
    with pytest.raises(UserError, match=r"stadet\[parquet\]"):
        DetectionsWriter(tmp_path / "new.parquet", NAMES)
    assert [p.name for p in tmp_path.iterdir()] == ["d.parquet"]
