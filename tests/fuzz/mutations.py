"""Mutations of a file's bytes: what broken programs, cut copies and hostile hands make of it."""

from __future__ import annotations

import random
import re

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
WORD = re.compile(rb"[A-Za-z_]{2,}")
TOKENS = [
    *(b"0", b"-1", b"1e400", b"nan", b"NaN", b"Infinity", b"-0.0", b"1_000", b"0x10", b"null"),
    *(b"9223372036854775807", b"9223372036854775808", b"2000000000", b"1" * 5000, b"1e-320"),
    *("²".encode(), "٣".encode(), b'"x"', b"[]", b"{}", b"[[]]", b"true", b'"\\ud800"', b"1.5"),
    *(b"../../x", b"/etc/x", b"C:\\x", b".", b"", b"n" * 300, b"\0", b"\x1b[2J", b"\n", b"\xff"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"<!ENTITY a 'b'>", b"*a", b"&a ", b"[" * 3000, b'{"a":' * 500),
]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """`content` after one to four mutations, which `rng` draws."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_MUTATIONS)(content, rng)
    return content


def _flip_bit(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut_off(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randint(0, len(content))]


def _take_out(content: bytes, rng: random.Random) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start, stop = _span(content, rng)
    return content[:stop] + content[start:stop] * rng.choice((1, 1, 3)) + content[stop:]


def _insert(content: bytes, rng: random.Random) -> bytes:
    place = rng.randint(0, len(content))
    return content[:place] + rng.choice(TOKENS) + content[place:]


def _replace(pattern: re.Pattern[bytes], content: bytes, rng: random.Random) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return _insert(content, rng)
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(TOKENS) + content[match.end() :]


def _replace_number(content: bytes, rng: random.Random) -> bytes:
    return _replace(NUMBER, content, rng)


def _replace_word(content: bytes, rng: random.Random) -> bytes:
    return _replace(WORD, content, rng)


def _encode(content: bytes, rng: random.Random) -> bytes:
    try:
        return content.decode("utf-8").encode(rng.choice(("utf-16", "utf-16-le", "latin-1")))
    except UnicodeError:
        return content


def _span(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(content))
    return start, min(len(content), start + rng.choice((1, 4, 20, 100)))


_MUTATIONS = [
    *(_flip_bit, _cut_off, _take_out, _repeat, _insert),
    *(_replace_number, _replace_number, _replace_number, _replace_word, _encode),
]
