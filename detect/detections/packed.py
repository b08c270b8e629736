"""Compressed detections files, `.jsonl.gz` and `.jsonl.zst`: blocks that can be read by themselves.

Each block is a gzip member or a zstd frame, as `gzip` and `zstd` write one for a whole file; joined
they are a file that these programs read. A program that is killed loses the block it was at.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from stadet.engine.errors import UserError

READ = 1 << 20  # bytes at once
IN_MEMORY = 64 << 20  # of unpacked text; a longer one goes through a temporary file


def packer(path: str | os.PathLike) -> Callable[[bytes], bytes] | None:
    """The function that packs a block of a file of this name; None for a name of plain text.

    UserError where the package for it is missing.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".gz":
        return _gzip_block
    if suffix == ".zst":
        return _zstandard(path).ZstdCompressor(level=6).compress
    return None


def unpacked(path: str | os.PathLike) -> IO[bytes]:
    """The text of a packed file, at its beginning; the caller closes it.

    Of a last block that was cut off, what can be read is there. UserError for damaged content.
    """
    path = Path(path)
    begin = _zlib_object if path.suffix.lower() == ".gz" else _zstandard_object(path)
    text: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # type: ignore[assignment]  # noqa: SIM115
    try:
        for block in _blocks(path, begin):
            text.write(block)
    except Exception as error:
        text.close()
        if type(error).__name__ not in ("error", "ZstdError"):
            raise
        raise UserError(
            f"{path}: expected a file of {'gzip' if path.suffix.lower() == '.gz' else 'zstd'}, "
            f"found damaged content ({error}); write or copy it again"
        ) from None
    text.seek(0)
    return text


def is_packed(path: str | os.PathLike) -> bool:
    """Is a file of this name compressed?"""
    return Path(path).suffix.lower() in (".gz", ".zst")


def _blocks(path: Path, begin: Callable[[], Any]) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        block = begin()
        while data := stream.read(READ):
            while data:
                yield block.decompress(data)
                data = b""
                if block.eof:
                    data, block = block.unused_data, begin()


def _gzip_block(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data, compresslevel=6, mtime=0)


def _zlib_object() -> Any:
    return zlib.decompressobj(wbits=31)


def _zstandard_object(path: Path) -> Callable[[], Any]:
    return _zstandard(path).ZstdDecompressor().decompressobj


def _zstandard(path: str | os.PathLike) -> Any:
    try:
        import zstandard
    except ImportError:
        raise UserError(
            f"{path}: .zst files need the package zstandard; pip install 'stadet[zstd]', or name "
            "the file .jsonl.gz"
        ) from None
    return zstandard
