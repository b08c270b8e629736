"""Detections files as Parquet, `.parquet`: the rows of `stad-detections/1` in columns.

One row a box: `video`, `frame`, `x`, `y`, `width`, `height` (pixels of the video), `objectness`
(null where the model has none) and `scores`, a map from category id to score; where actors were
looked for also `actor` (null where it is not known whose box it is). Numbers are the doubles that
the text says, so that both give the same figures. The header and the range rows are JSON in
the file's metadata, under `stad-detections`; category ids count from 1.

A Parquet file has its contents at its end and cannot grow, so what is not finished is text beside
it (`unfinished`), which every verb reads as a detections file of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from stadet.detect.detections.columns import DetectionColumns, ProcessedRange
from stadet.detect.detections.detection_set import merge_ranges
from stadet.detect.detections.json_lines import (
    parsed_header,
    parsed_range,
    range_row,
    read_header,
    read_rows,
)
from stadet.detect.structures import NO_TRACK
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_path
from stadet.engine.findings import Findings
from stadet.engine.reading import MAX_FRAME, read_bytes, safe_name, shown

KEY = b"stad-detections"
CHECK = b"stad-detections-crc32"  # of the header: Parquet checks only its pages
BOX = ("x", "y", "width", "height")
COLUMNS = ("video", "frame", *BOX, "objectness", "scores")
ROWS = 1 << 17  # of a row group


def is_parquet(path: str | os.PathLike) -> bool:
    """Is a file of this name Parquet?"""
    return Path(path).suffix.lower() == ".parquet"


def unfinished(path: str | os.PathLike) -> Path:
    """Where the rows of a Parquet file are until it is whole."""
    return Path(f"{os.fspath(path)}.unfinished.jsonl")


def expect_pyarrow(path: str | os.PathLike) -> None:
    """UserError where pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UserError(
            f"{path}: .parquet files need the package pyarrow; pip install 'stadet[parquet]', or "
            "name the file .jsonl"
        ) from None


def parquet_header(path: Path) -> bytes:
    """The header, a line of JSON; UserError for a file that is no detections file of Parquet."""
    return json.dumps(_described(path)[0]).encode()


def read_parquet(
    path: Path, column_of: Mapping[int | str, int], findings: Findings
) -> DetectionColumns:
    """The columns of a file; column_of: category id -> class.

    Rows that cannot be used are left out and counted in `findings`, as those of text are.
    UserError for a file that is damaged or has other columns.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    _, ranges = _described(path)
    table = _table(path)
    whole = pc.is_valid(table["video"])
    for name in COLUMNS[1:6]:
        whole = pc.and_(whole, pc.is_valid(table[name]))
    frame = table["frame"].fill_null(0).to_numpy()
    # a frame past every video, as in text
    sound = whole.to_numpy() & (np.abs(frame.clip(-MAX_FRAME - 1)) <= MAX_FRAME)
    lines = np.flatnonzero(sound) + 1
    bad = np.flatnonzero(~sound)
    examples = (f"row {i + 1}: {shown(table.slice(i, 1).to_pylist()[0], 80)}" for i in bad[:3])
    findings.add("rows that are no detection", len(bad), examples, "left out")
    if len(bad):
        table = table.filter(pa.array(sound))

    video = table["video"].combine_chunks()
    names = [safe_name(name, f"{path}: video") for name in video.dictionary.to_pylist()]
    counts, keys, scores = _entries(table["scores"])
    known = {key: column for key, column in column_of.items() if isinstance(key, int)}
    ids = np.array([*sorted(known), 2**40])
    place = np.searchsorted(ids, keys)
    listed = np.array([*(known[key] for key in sorted(known)), -2])
    classes = np.where(ids[place] == keys, listed[place], -2)
    unknown = np.flatnonzero(classes == -2)
    findings.add(
        "scores of categories that the header does not list",
        len(unknown),
        (f"category {keys[i]}" for i in unknown[:3]),
        "left out",
    )
    return DetectionColumns(
        names,
        video.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        table["frame"].to_numpy(),
        np.stack([table[name].to_numpy() for name in BOX], axis=1),
        table["objectness"].to_numpy(),
        lines,
        np.repeat(np.arange(len(table)), counts),
        classes.clip(-1),
        scores,
        ranges,
        _actors(table, path) if "actor" in table.column_names else None,
    )


def _actors(table: Any, path: Path) -> np.ndarray:
    actors = table["actor"].fill_null(NO_TRACK).to_numpy()
    if (actors < NO_TRACK).any():
        raise UserError(f"{path}: actor: expected ids from 0 on, found {actors.min()}")
    return actors


def write_parquet(path: str | os.PathLike, text: IO[bytes], source: Path) -> list[str]:
    """Write the text of a detections file as Parquet, whole or not at all.

    source: the text's file, for messages. Returns a line for each kind of fault whose rows were
    left out.
    """
    expect_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    header, ids, names = read_header(text, source)
    findings = Findings(source.name)
    columns = read_rows(text, {str(key): place for key, place in ids.items()}, findings)
    columns.keep_entries(columns.classes >= 0)
    header["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
    header["processed"] = [range_row(part) for part in _joined(columns.ranges)]
    line = json.dumps(header).encode()
    count = len(columns.boxes)
    codes = pa.array(columns.videos.astype(np.int32))
    # `from_pandas`: NaN is null; elsewhere it stays what it is
    table = pa.table(
        {
            "video": pa.DictionaryArray.from_arrays(
                codes, pa.array(columns.video_names, type=pa.string())
            ),
            "frame": columns.frames,
            **dict(zip(BOX, columns.boxes.T.copy(), strict=True)),
            "objectness": pa.array(columns.objectness, from_pandas=True),
            "scores": pa.MapArray.from_arrays(
                np.searchsorted(columns.rows, np.arange(count + 1)).astype(np.int32),
                pa.array((columns.classes + 1).astype(np.int32)),
                pa.array(columns.scores),
            ),
            **_actor_column(columns),
        }
    ).replace_schema_metadata({KEY: line, CHECK: _checksum(line)})
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            row_group_size=ROWS,
            compression="zstd",
            compression_level=6,
            use_dictionary=["video", "scores.key_value.key"],  # of floats it saves nothing
            column_encoding={"frame": "DELTA_BINARY_PACKED"},
            write_page_checksum=True,
        )
    return findings.notes()


def _actor_column(columns: DetectionColumns) -> dict[str, Any]:
    import pyarrow as pa

    if columns.actors is None:
        return {}
    return {"actor": pa.array(columns.actors, mask=columns.actors == NO_TRACK)}


def parquet_text(path: Path, findings: Findings) -> Iterator[bytes]:
    """The text that `write_parquet` writes to the same file: its header and its rows.

    Rows that cannot be used are left out and counted in `findings`.
    Rows of frames in no range come after the last range row, as what was not finished does.
    """
    line = parquet_header(path)
    yield line + b"\n"
    ids = parsed_header(line, str(path))[1]
    # the ids stand for the classes
    own = {key: key for key in ids if isinstance(key, int)}
    columns = read_parquet(path, own, findings)
    seen = np.zeros(len(columns.boxes), dtype=bool)
    for code, name in enumerate(columns.video_names):
        rows = columns.videos == code
        ranges = merge_ranges((r.first, r.last) for r in columns.ranges if r.video == name)
        place = np.searchsorted(ranges[:, 0], columns.frames[rows], side="right") - 1
        if len(ranges):
            seen[rows] = (place >= 0) & (columns.frames[rows] <= ranges[place.clip(0), 1])
    yield from _lines(columns, np.flatnonzero(seen))
    for part in columns.ranges:
        yield json.dumps(range_row(part)).encode() + b"\n"
    yield from _lines(columns, np.flatnonzero(~seen))


def _lines(columns: DetectionColumns, rows: np.ndarray) -> Iterator[bytes]:
    bounds = np.searchsorted(columns.rows, np.arange(len(columns.boxes) + 1))
    for row in rows.tolist():
        entries = slice(bounds[row], bounds[row + 1])
        objectness = float(columns.objectness[row])
        found = {
            "video": columns.video_names[columns.videos[row]],
            "frame": int(columns.frames[row]),
            "bbox": columns.boxes[row].tolist(),
            "objectness": None if objectness != objectness else objectness,
            "scores": dict(
                zip(
                    columns.classes[entries].tolist(), columns.scores[entries].tolist(), strict=True
                )
            ),
        }
        if columns.actors is not None and columns.actors[row] != NO_TRACK:
            found["actor"] = int(columns.actors[row])
        yield json.dumps(found).encode() + b"\n"


def _described(path: Path) -> tuple[dict[str, Any], list[ProcessedRange]]:
    """The header of a file, and its ranges."""
    if not path.is_file():
        if unfinished(path).is_file():
            raise UserError(
                f"{path}: expected a detections file, found only {unfinished(path).name}, which a "
                "killed program left; continue it (--resume), or read that file"
            )
        read_bytes(path, "a detections file")  # raises
    expect_pyarrow(path)
    import pyarrow.parquet as pq

    with _told(path):
        described = pq.read_schema(path).metadata or {}
        line = described.get(KEY)
        if line is not None and described.get(CHECK, _checksum(line)) != _checksum(line):
            raise ValueError("the header's checksum differs")
    if line is None:
        raise UserError(
            f"{path}: expected the header of a detections file in the Parquet file's metadata "
            f"({KEY.decode()}), found none; write it with stad predict or stad convert"
        )
    header = parsed_header(line, f"{path}: header")[0]
    rows = header.pop("processed", [])
    try:
        ranges = [parsed_range(row) for row in rows]
        for name in dict.fromkeys(part.video for part in ranges):
            safe_name(name, f"{path}: header")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{path}: expected ranges of processed frames in the header, found {shown(rows)} "
            f"({error}); write it again"
        ) from None
    return header, ranges


def _table(path: Path) -> Any:
    """The columns of a file with the types that this module writes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _told(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise UserError(
                f"{path}: expected the columns {', '.join(COLUMNS)}, found no {missing[0]}; write "
                "it with stad predict or stad convert"
            )
        more = ["actor"] if "actor" in file.schema_arrow.names else []
        table = file.read(columns=[*COLUMNS, *more], use_threads=False)
        video = table["video"]
        if not pa.types.is_dictionary(video.type):
            video = video.cast(pa.string()).dictionary_encode()
        columns = {"video": video.unify_dictionaries()}
        for name in [*COLUMNS[1:-1], *more]:
            if not (
                pa.types.is_integer(table[name].type) or pa.types.is_floating(table[name].type)
            ):
                raise pa.ArrowInvalid(f"{name}: expected numbers, found {table[name].type}")
            columns[name] = table[name].cast(
                pa.int64() if name in ("frame", "actor") else pa.float64()
            )
        columns["scores"] = table["scores"].cast(pa.map_(pa.int32(), pa.float64()))
        return pa.table(columns)


def _checksum(line: bytes) -> bytes:
    return b"%d" % zlib.crc32(line)


def _entries(scores: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many scores each row has, their categories and they themselves, of a column of maps."""
    counts, keys, values = [], [], []
    for chunk in scores.chunks:
        offsets = chunk.offsets.to_numpy()
        inside = slice(offsets[0], offsets[-1]) if len(offsets) else slice(0, 0)
        counts.append(np.diff(offsets))
        keys.append(chunk.keys.to_numpy(zero_copy_only=False)[inside].astype(np.int64))
        values.append(chunk.items.to_numpy(zero_copy_only=False)[inside].astype(np.float64))
    nothing = np.zeros(0, dtype=np.int64)
    return (
        np.concatenate([nothing, *counts]),
        np.concatenate([nothing, *keys]),
        np.concatenate([nothing.astype(np.float64), *values]),
    )


def _joined(ranges: Iterable[ProcessedRange]) -> list[ProcessedRange]:
    """Ranges with neighbours of one video and rate as one, which says the same."""
    groups: list[list[ProcessedRange]] = []
    for part in ranges:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and (last.video, last.last + 1, last.fps) == (part.video, part.first, part.fps)
            and (last.times is None) == (part.times is None)
        ):
            groups[-1].append(part)
        else:
            groups.append([part])
    return [
        replace(
            group[0],
            last=group[-1].last,
            times=_concatenated([part.times for part in group if part.times is not None]),
        )
        for group in groups
    ]


def _concatenated(times: list[np.ndarray]) -> np.ndarray | None:
    return np.concatenate(times) if times else None


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What pyarrow finds wrong with a file, as one line."""
    import pyarrow as pa

    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{path}: expected a detections file of Parquet, found damaged content or other "
            f"columns ({reason}); write or copy it again"
        ) from error
