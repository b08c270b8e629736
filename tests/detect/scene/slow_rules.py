"""The rules as their page defines them, over a whole recording at once."""

TICK = 1e-6


def runs(times, holds, grace):
    """(first, last) frames of each stretch in which a condition holds, but for short pauses."""
    true = [i for i, held in enumerate(holds) if held]
    found = []
    for i in true:
        if found:
            last = found[-1][1]
            if i == last + 1 or times[i] - times[last] <= grace + TICK:
                found[-1] = (found[-1][0], i)
                continue
        found.append((i, i))
    return found


def held(times, holds, seconds, grace, cooldown):
    """(start, stop, at) of the hits of presence, dwell and count."""
    hits, quiet = [], float("-inf")
    for first, last in runs(times, holds, grace):
        for i in range(first, last + 1):
            long_enough = times[i] - times[first] >= seconds - TICK
            if holds[i] and long_enough and times[i] >= quiet - TICK:
                hits.append((times[first], times[last], times[i]))
                quiet = times[last] + cooldown
                break
    return hits


def sequences(times, steps, unless, within):
    """(start, stop): by trying every choice of frames, hit after hit."""
    hits, begin = [], 0
    for end in range(len(times)):
        if not steps[-1][end]:
            continue
        starts = [
            first
            for first in range(begin, end)
            if times[end] - times[first] <= within + TICK
            and not any(unless[first + 1 : end + 1])
            and _fits(steps, first, end)
        ]
        if starts:
            hits.append((times[max(starts)], times[end]))
            begin = end + 1
    return hits


def _fits(steps, first, end):
    """Is there an ascending choice of frames from `first` to `end`, one a step?"""
    if len(steps) == 1:
        return first == end and steps[0][first]
    if not steps[0][first]:
        return False
    return any(_fits(steps[1:], i, end) for i in range(first + 1, end + 1))


def absences(times, after, expect, within, grace):
    """(start, at): beginnings of `after` that no `expect` follows in time."""
    hits, busy = [], -1  # the frame up to which an earlier wait lasts
    for first, _ in runs(times, after, grace):
        if first < busy:
            continue
        later = [i for i in range(first + 1, len(times))]
        over = next((i for i in later if times[i] - times[first] > within + TICK), None)
        came = next((i for i in later if expect[i] and (over is None or i < over)), None)
        if came is None and over is not None:
            hits.append((times[first], times[over]))
        busy = came if came is not None else len(times) if over is None else over
    return hits
