"""Writes a `stad-detections/1` file row by row, so that a kill loses at most one line.

Of a compressed file it loses the rows since the last range; the rows of a Parquet file are text
until it is closed (`parquet.unfinished`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from stadet.detect.boxes import xyxy_to_xywh
from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.detections.json_lines import SCHEMA
from stadet.detect.detections.packed import packer, unpacked
from stadet.detect.detections.parquet import (
    expect_pyarrow,
    is_parquet,
    parquet_text,
    unfinished,
    write_parquet,
)
from stadet.detect.structures import NO_TRACK, Detections
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_path, atomic_write, disk_error
from stadet.engine.findings import Findings
from stadet.engine.json_lines import write_through
from stadet.engine.signatures import checked

BLOCK = 8 << 20  # bytes of text that are packed at once
RANGE = b'"processed": ['  # in a range row, and in no other: quotes in names are escaped


def written_so_far(path: str | os.PathLike) -> Path:
    """The file that holds what has been written of a detections file: another one of a Parquet file
    that is not finished."""
    growing = unfinished(path)
    return growing if is_parquet(path) and growing.exists() else Path(path)


def write_detections(path: str | os.PathLike, detections: DetectionSet) -> None:
    """Write a detection set to a file, whole or not at all."""
    with (
        atomic_path(path) as temporary,
        DetectionsWriter(temporary, detections.names, detections.score_floor) as writer,
    ):
        for video in detections:
            for frame in np.unique(video.frames).tolist():
                found = video[frame]
                assert found is not None  # a frame of a box
                writer.write(video.name, frame, found)
            for first, last in video.processed.tolist():
                fps, times = None, None
                if video.clock is not None:
                    fps = video.clock.fps
                    if not video.clock.constant:
                        times = video.clock.seconds(np.arange(first, last + 1)).tolist()
                writer.processed(video.name, first, last, fps=fps, times=times)


class DetectionsWriter:
    """Append detections to a JSON Lines or Parquet file; use it as a context manager.

    path: the file, whose name says its form (.jsonl, .jsonl.gz, .jsonl.zst, .parquet); names: class
    names, category id c + 1 is names[c]; score_floor: class scores below it are left out of a row;
    resume: continue an existing file of the same classes (what follows its last range row is cut
    off first), otherwise an existing file is replaced.

    Every call ends on a whole line that has reached the operating system (of a compressed
    file: every range). An error before the first finished range leaves no file behind.

    Attributes:
        growing: where the rows are until the file is closed: the file itself, or the text that
            becomes a Parquet file.
    """

    @checked
    def __init__(
        self,
        path: str | os.PathLike,
        names: Sequence[str],
        score_floor: float = 0.0,
        *,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.names = tuple(names)
        self.score_floor = float(score_floor)
        self._columns = is_parquet(self.path)
        if self._columns:
            expect_pyarrow(self.path)
        self.growing = unfinished(self.path) if self._columns else self.path
        self._pack, self._waiting = packer(self.growing), b""
        self._ids = [str(index + 1) for index in range(len(self.names))]
        header = {
            "schema": SCHEMA,
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(self.names)],
            "score_floor": self.score_floor,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            continues = resume and self._take_up(header)
            self._stream = open(self.growing, "ab" if continues else "wb")  # noqa: SIM115
            if self._columns and not continues:
                self.path.unlink(missing_ok=True)  # it is replaced
        except OSError as error:
            raise disk_error(error, self.path) from error
        self._continues = self._says_something = bool(continues)
        if not continues:
            try:
                self._put(json.dumps(header) + "\n", whole=True)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._stream.close()
                self._remove()  # half a header: nothing to continue
                raise

    def write(self, video: str, frame: int, detections: Detections) -> None:
        """Rows for the boxes of one frame; nothing for a frame without boxes."""
        if not len(detections):
            return
        if detections.scores.shape[1] != len(self.names):
            raise ValueError(
                f"expected scores of {len(self.names)} classes, "
                f"found {detections.scores.shape[1]} ({video}, frame {frame})"
            )
        if not (np.isfinite(detections.boxes).all() and np.isfinite(detections.scores).all()):
            raise ValueError(f"expected finite boxes and scores ({video}, frame {frame})")
        listed = (detections.scores >= self.score_floor) & (detections.scores > 0)
        start = f'{self._begin(video)}"frame": {int(frame)}, "bbox": ['
        actors = [""] * len(detections)
        if detections.actor_ids is not None:
            known_ids = detections.actor_ids.tolist()
            actors = ["" if i == NO_TRACK else f', "actor": {i}' for i in known_ids]
        rows = []
        for box, objectness, scores, keep, actor in zip(
            xyxy_to_xywh(detections.boxes).tolist(),
            detections.objectness.tolist(),
            detections.scores.tolist(),
            listed.tolist(),
            actors,
            strict=True,
        ):
            # three decimals of a pixel; nine digits bring a float32 back exactly
            corners = ", ".join(f"{value:.3f}" for value in box)
            known = "null" if objectness != objectness else f"{objectness:.9g}"
            pairs = ", ".join(
                f'"{key}": {score:.9g}'
                for key, score, kept in zip(self._ids, scores, keep, strict=True)
                if kept
            )
            rows.append(
                f'{start}{corners}], "objectness": {known}, "scores": {{{pairs}}}{actor}}}\n'
            )
        self._put("".join(rows))

    def processed(
        self,
        video: str,
        first: int,
        last: int,
        *,
        fps: float | None = None,
        times: Sequence[float] | None = None,
    ) -> None:
        """Say that the model has seen frames first..last (both inclusive) of a video.

        fps: frames a second; times: seconds from the video's first frame of each of these frames,
        for a video whose rate varies.
        """
        row: dict[str, Any] = {"processed": [int(first), int(last)]}
        if fps is not None:
            row["fps"] = round(float(fps), 6)
        if times is not None:
            row["times"] = [round(float(second), 6) for second in times]
        self._says_something = True
        self._put(self._begin(video) + json.dumps(row)[1:] + "\n", whole=True)

    def forget(self, video: str) -> None:
        """Take out all that the file says of a video."""
        own = self._begin(video).encode()
        says, self._says_something = self._continues, False
        self._close_stream()
        try:
            with (
                unpacked(self.growing) if self._pack else open(self.growing, "rb") as text,
                atomic_write(self.growing, "wb") as kept,
            ):
                while lines := text.readlines(BLOCK):
                    block = b"".join(line for line in lines if not line.startswith(own))
                    says |= RANGE in block
                    if block:
                        kept.write(block if self._pack is None else self._pack(block))
        finally:
            self._says_something = says
            self._stream = open(self.growing, "ab")  # noqa: SIM115

    def close(self) -> None:
        """Close the file. UserError where the disk has no room for what is still to be written."""
        if self._stream.closed:
            return
        self._close_stream()
        if self._columns:
            with open(self.growing, "rb") as text:
                write_parquet(self.path, text, self.growing)
            self.growing.unlink()

    def __enter__(self) -> DetectionsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or self._says_something:
            self.close()
        else:  # no frame was finished: nothing to continue
            self._close_stream()
            self._remove()

    def _close_stream(self) -> None:
        try:
            if self._waiting:
                self._put("", whole=True)
        finally:
            try:
                self._stream.close()
            except OSError as error:
                raise disk_error(error, self.path) from error

    @staticmethod
    def _begin(video: str) -> str:
        """How all rows of a video begin."""
        return f'{{"video": {json.dumps(video)}, '

    def _remove(self) -> None:
        if self.growing.is_file():  # and no device
            self.growing.unlink(missing_ok=True)

    def _put(self, text: str, *, whole: bool = False) -> None:
        """Write lines; of a compressed file only as a block, which `whole` ends."""
        data = text.encode()
        if self._pack is not None:
            self._waiting += data
            if not whole:
                return
            data, self._waiting = self._pack(self._waiting), b""
        write_through(self._stream, data, self.path)

    def _take_up(self, header: dict) -> bool:
        """Prepare what exists for more rows; False where there is nothing, not even a header.

        Everything after the last range row is cut off: those frames were not finished and will be
        written again.
        """
        if self._columns and not self.growing.exists() and self.path.exists():
            findings = Findings(self.path.name)
            with atomic_write(self.growing, "wb") as text:
                for line in parquet_text(self.path, findings):
                    text.write(line)
                if findings:  # rows of another program, which would be lost
                    raise UserError(
                        f"{self.path}: expected a file whose rows can all be continued, found "
                        f"{' | '.join(findings.notes())}; stad convert writes it without them"
                    )
            try:
                return self._cut_unfinished(header)
            except UserError:  # the Parquet file stays as it is
                self._remove()
                raise
        return self.growing.exists() and self._cut_unfinished(header)

    def _cut_unfinished(self, header: dict) -> bool:
        if self._pack is not None:
            return self._cut_packed(header)
        with open(self.growing, "r+b") as stream:
            whole = self._whole_end(stream, header)
            if whole:
                stream.truncate(whole)
        return bool(whole)

    def _cut_packed(self, header: dict) -> bool:
        """The same of a compressed file, whose kept text becomes new blocks."""
        assert self._pack is not None
        with unpacked(self.path) as stream:
            whole = self._whole_end(stream, header)
            if not whole:
                return False
            stream.seek(0)
            with atomic_write(self.path, "wb") as kept:
                for start in range(0, whole, BLOCK):
                    kept.write(self._pack(stream.read(min(BLOCK, whole - start))))
        return True

    def _whole_end(self, stream: IO[bytes], header: dict) -> int:
        """Length of the text up to its last range row; 0 where there is not even a header."""
        first = stream.readline()
        if not first.endswith(b"\n"):
            return 0
        if first != json.dumps(header).encode() + b"\n":
            raise UserError(
                f"{self.path}: expected a detections file of the same classes and score floor "
                "to continue, found another header; choose another path or remove the file"
            )
        position = whole = stream.tell()
        for line in stream:
            position += len(line)
            if line.endswith(b"\n") and RANGE in line:
                whole = position
        return whole
