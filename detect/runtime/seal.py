"""Exported files that end with a digest of themselves.

Protocol buffers may be joined end to end, so a model that holds nothing but one more metadata entry
is appended: other programs read the file as before, and nothing needs to be parsed to check it.
"""

from __future__ import annotations

import hashlib

from stadet.engine.errors import UserError

KEY = "stad.sha256"
_HEX = 64


def seal(content: bytes) -> bytes:
    """`content` with its SHA-256 appended."""
    return content + _entry(hashlib.sha256(content).hexdigest())


def without_seal(content: bytes) -> bytes:
    """The content that `seal` was given; other content unchanged."""
    return content[: -len(_entry("0" * _HEX))] if is_sealed(content) else content


def is_sealed(content: bytes) -> bool:
    """The content ends with its own digest."""
    length = len(_entry("0" * _HEX))
    return content[-length:] == _entry(hashlib.sha256(content[:-length]).hexdigest())


def expect_undamaged(content: bytes, name: str, *, sealed: bool) -> None:
    """UserError for a file whose digest differs or, where it was `sealed`, is missing."""
    if (sealed or KEY.encode() in content) and not is_sealed(content):
        raise UserError(
            f"{name}: damaged, cut off or changed by another program (its digest differs); write "
            "it again with stad export"
        )


def _entry(digest: str) -> bytes:
    """A serialised ONNX model of one metadata entry: fields 14 (metadata_props), 1 (key), 2."""
    key, value = KEY.encode(), digest.encode()
    entry = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value
    return b"\x72" + bytes([len(entry)]) + entry
