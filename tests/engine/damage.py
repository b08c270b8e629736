"""Damage as disks, transfers and memory do it: a fixed seed gives the same damaged files."""

from __future__ import annotations

import numpy as np

KINDS = ("bit", "bits", "cut", "zeroed", "swapped", "overwritten", "doubled", "lost")


def damaged(content: bytes, rng: np.random.Generator, kind: str) -> bytes:
    """`content` with one damage of a kind; may equal it by chance (zeroed zeros)."""
    found = bytearray(content)
    size = len(found)
    place = int(rng.integers(size))
    length = int(min(size - place, rng.choice([1, 4, 16, 64, 512, 4096])))
    if kind == "bit":
        found[place] ^= 1 << int(rng.integers(8))
    elif kind == "bits":
        for other in rng.integers(size, size=int(rng.integers(2, 9))):
            found[int(other)] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del found[place:]
    elif kind == "zeroed":
        found[place : place + length] = bytes(length)
    elif kind == "swapped":
        other = int(rng.integers(size - length + 1))
        first, second = found[place : place + length], found[other : other + length]
        found[place : place + length], found[other : other + length] = second, first
        del found[size:]
    elif kind == "overwritten":
        found[place : place + length] = rng.bytes(length)
    elif kind == "doubled":
        found[place:place] = found[place : place + length]
    elif kind == "lost":
        del found[place : place + length]
    else:
        raise ValueError(kind)
    return bytes(found)
