"""A detections file under another name, which says its form: text, packed or Parquet."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

from stadet.detect.detections.json_lines import read_header
from stadet.detect.detections.packed import IN_MEMORY, packer
from stadet.detect.detections.parquet import is_parquet, parquet_text, write_parquet
from stadet.detect.detections.reader import text_of
from stadet.detect.detections.writer import BLOCK
from stadet.engine.files import atomic_write, expect_absent
from stadet.engine.findings import Findings
from stadet.engine.reading import guarded


@guarded("a detections file")
def recode_detections(
    path: str | os.PathLike, out: str | os.PathLike, *, overwrite: bool = False
) -> list[str]:
    """Write a `stad-detections/1` file in the form that `out` names: .jsonl, .jsonl.gz, .jsonl.zst
    or .parquet. Reading either gives the same detections.

    Returns:
        A line for each kind of fault of rows that a Parquet file has or would have no place for.

    Raises:
        UserError: for a file that is no such file, and where `out` exists (unless `overwrite`).
    """
    path, out = Path(path), Path(out)
    expect_absent(out, overwrite=overwrite)
    findings = Findings(path.name)
    with _text(path, findings) as text:
        if is_parquet(out):
            return [*findings.notes(), *write_parquet(out, text, path)]
        read_header(text, path)
        text.seek(0)
        pack = packer(out)
        with atomic_write(out, "wb") as stream:
            while block := b"".join(text.readlines(BLOCK)):
                stream.write(block if pack is None else pack(block))
    return findings.notes()


def _text(path: Path, findings: Findings) -> IO[bytes]:
    if not is_parquet(path):
        return text_of(path)
    text: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # type: ignore[assignment]  # noqa: SIM115
    text.writelines(parquet_text(path, findings))
    text.seek(0)
    return text
