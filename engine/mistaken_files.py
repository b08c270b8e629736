"""What a file that should hold weights is instead: a failed download, a pointer, an archive."""

from __future__ import annotations

import os
import zipfile

from stadet.engine.errors import UserError

_LFS = b"version https://git-lfs.github.com/spec"
_START = 512  # bytes that tell
_SIGNATURES = (  # of files with another purpose, however they are named
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (of Keras?); convert it to a torch state dict"),
    (b"\x89PNG\r\n\x1a\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"RIFF", "a video or sound"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a gzip archive; unpack it and give the file inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and give the file inside"),
    (b"Rar!", "a rar archive; unpack it and give the file inside"),
)


def expect_weights_file(path: str | os.PathLike, what: str = "weights") -> None:
    """UserError for a file that obviously holds no weights, saying what it is and what to do.

    Empty files, web pages (a download that failed or wanted a login), pointers of Git LFS,
    archives that were not unpacked, TorchScript archives, pictures and videos. Files that cannot
    be opened pass: their reader says why.
    """
    try:
        found = _recognise(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return  # unreadable or damaged, as the reader tells better
    if found is not None:
        raise UserError(f"{what} {path}: expected a file of weights, found {found}")


def _recognise(path: str | os.PathLike) -> str | None:
    with open(path, "rb") as stream:
        start = stream.read(_START)
    if not start:
        return "an empty file; copy or download it again"
    if start.startswith(_LFS):
        return "a pointer of Git LFS to it; fetch the file itself with git lfs pull"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        page = "a web page or XML"
        return f"{page}: the download failed or wants a login; download it in a browser"
    if start[4:8] == b"ftyp":
        return "a video"
    for signature, kind in _SIGNATURES:
        if start.startswith(signature):
            return kind
    return _archive(path) if start.startswith(b"PK\x03\x04") else None


def _archive(path: str | os.PathLike) -> str | None:
    """What a zip archive is that torch did not write, or wrote as a program."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        return (
            "a TorchScript archive, a program; save the state_dict() of the network that it was "
            "made of"
        )
    if "data.pkl" in inside:
        return None
    if any(name.endswith("archive_format") for name in inside):
        return "a program of torch.export; save the state_dict() of the network"
    first = next(iter(names), "nothing")
    return f"a zip archive (with {first[:80]}); unpack it and give the file inside"
