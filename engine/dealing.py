"""Work dealt to lanes and processes so that all end at nearly the same time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def deal_longest_first(loads: Sequence[int], hands: int) -> list[list[int]]:
    """The places of `loads` for each of `hands`: the longest first, each to the hand with the least
    to do (the first of those), loads of one length in their order (Graham's LPT rule, 1969)."""
    dealt: list[list[int]] = [[] for _ in range(hands)]
    heap = [(0, hand) for hand in range(hands)]
    for place in sorted(range(len(loads)), key=lambda place: -loads[place]):
        total, hand = heapq.heappop(heap)
        dealt[hand].append(place)
        heapq.heappush(heap, (total + int(loads[place]), hand))
    return dealt
