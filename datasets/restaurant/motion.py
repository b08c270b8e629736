"""Motion of one hand through one action, frame by frame.

The two directions of a reversible action are made by one function: the backward one is the forward
performance played from its end. So every picture of one occurs in the other, with the same chance,
within the annotated frames and outside them, and nothing in a single picture tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stadet.datasets.restaurant.arm import outline_of, reach_of
from stadet.datasets.restaurant.classes import BARE, ActionClass, Look
from stadet.datasets.restaurant.config import FootageConfig
from stadet.datasets.restaurant.layout import Layout, Station

SHOULDER_Y = 2.3  # below the picture, so that arms come in steeply
OUTSIDE = 0.14  # how far beyond the picture a camera may still see
_AT_PLACE = {"pos", "cutter"}  # stations whose tool stays there: hands come and go bare


@dataclass(frozen=True, eq=False)
class Performance:
    """One hand over F frames.

    tip (F, 2): counter units; the point `reach` hand lengths ahead of the wrist moves along it.
    shoulder (F, 2): the arm points from there to the tip. looks: F of them.
    label: class name or None; annotated, still: (first, stop) frames or None. `still` are the
    frames of a carrying hand that all show it at the same place.
    """

    tip: np.ndarray
    shoulder: np.ndarray
    looks: tuple[Look, ...]
    reach: float
    label: str | None = None
    annotated: tuple[int, int] | None = None
    still: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.looks)

    def angle(self, at: int) -> float:
        """Turn of the arm on a frame, radians clockwise from straight up."""
        x, y = self.tip[at] - self.shoulder[at]
        return float(np.arctan2(x, -y))

    def reversed(self, label: str | None) -> Performance:
        """The same pictures in opposite order, under the label of the opposite action."""

        def mirror(span: tuple[int, int] | None) -> tuple[int, int] | None:
            return span and (len(self) - span[1], len(self) - span[0])

        return replace(
            self,
            tip=self.tip[::-1],
            shoulder=self.shoulder[::-1],
            looks=self.looks[::-1],
            label=label,
            annotated=mirror(self.annotated),
            still=mirror(self.still),
        )


def perform(
    rng: np.random.Generator, action: ActionClass, layout: Layout, config: FootageConfig
) -> Performance:
    """Draw one performance of `action`."""
    if action.kind == "operate":
        return _operate(rng, action, layout, config)
    draw = _transfer if action.kind == "transfer" else _across
    forward = draw(rng, action, layout, config)
    return replace(forward, label=action.name) if action.forward else forward.reversed(action.name)


def _path(
    rng: np.random.Generator, start: np.ndarray, end: np.ndarray, step: float, bend: float
) -> np.ndarray:
    """(n, 2) points after `start` up to `end` on an arc, about `step` apart, slower at its ends."""
    across = np.array([end[1] - start[1], start[0] - end[0]])
    control = (start + end) / 2 + across * rng.uniform(-bend, bend)
    dense = np.linspace(0, 1, 64)[:, None]
    curve = (1 - dense) ** 2 * start + 2 * dense * (1 - dense) * control + dense**2 * end
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    count = max(3, round(length[-1] / step))
    share = np.arange(1, count + 1) / count
    share = share - 0.18 * np.sin(2 * np.pi * share) / (2 * np.pi)
    return np.stack([np.interp(share * length[-1], length, curve[:, axis]) for axis in (0, 1)], 1)


def _way_out(look: Look, reach: float, hand: float) -> float:
    """The y at which a hand with this look has left every camera's picture."""
    ahead = reach_of(look) - reach - outline_of(look, False)[:, 1].min()
    return 1 + OUTSIDE + ahead * hand


def _shoulder(rng: np.random.Generator, x: float, frames: int) -> np.ndarray:
    return np.tile([x + rng.uniform(-0.35, 0.35), SHOULDER_Y], (frames, 1))


def _transfer(
    rng: np.random.Generator, action: ActionClass, layout: Layout, config: FootageConfig
) -> Performance:
    """Out of a container: come empty, dip, leave with the item."""
    stations = layout.of_kind(action.station)
    station = stations[rng.integers(len(stations))]
    item = None
    if action.items:
        own = station.content in action.items
        item = station.content if own else action.items[rng.integers(len(action.items))]
    loaded = Look(action.pose, action.tool, item)
    empty = replace(loaded, item=None) if item and action.tool else BARE
    reach = reach_of(loaded) if item else reach_of(BARE)
    place = _spot(rng, station)
    step = config.pace / config.fps
    far = max(_way_out(look, reach, layout.hand) for look in (loaded, empty))

    def outside() -> np.ndarray:
        return np.array([place[0] + rng.uniform(-0.15, 0.15), far])

    came, left = outside(), outside()
    arrive = _path(rng, came, place, 1.5 * step, 0.12)
    dip = rng.integers(max(2, round(0.2 * config.fps)), round(0.4 * config.fps) + 3)
    depth = 0.12 * layout.hand * np.sin(np.pi * np.arange(1, dip + 1) / (dip + 1))
    dwell = place - np.stack([np.zeros(dip), depth], axis=1)
    leave = _path(rng, place, left, step * rng.uniform(0.9, 1.15), 0.12)
    still = None
    carried = np.concatenate([dwell[-1:], leave])
    if rng.uniform() < config.still_share:
        carried, still = _stand_still(rng, carried, config, layout)
    tip = np.concatenate([came[None], arrive, dwell[:-1], carried])
    start = len(tip) - len(carried)
    annotated = (start if config.span == "carry" else 0, len(tip))
    return Performance(
        tip,
        _shoulder(rng, float(place[0] + left[0]) / 2, len(tip)),
        (empty,) * start + (loaded,) * len(carried),
        reach,
        annotated=annotated,
        still=still and (start + still[0], start + still[1]),
    )


def _stand_still(
    rng: np.random.Generator, carried: np.ndarray, config: FootageConfig, layout: Layout
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Hold one frame of the middle of a carry for 8 to 16 frames (as configured)."""
    inside = np.flatnonzero(
        (carried[:, 0] > 0)
        & (carried[:, 0] < layout.aspect)
        & (carried[:, 1] > 0)
        & (carried[:, 1] < 1 - 0.5 * layout.hand)
    )
    middle = inside[len(inside) // 4 + 1 : -(len(inside) // 4 + 1)]
    if len(middle) == 0:
        return carried, None
    at = int(rng.choice(middle))
    low, high = config.still_frames
    count = int(rng.integers(low, high + 1))
    return np.insert(carried, [at] * (count - 1), carried[at], axis=0), (at, at + count)


def _across(
    rng: np.random.Generator, action: ActionClass, layout: Layout, config: FootageConfig
) -> Performance:
    """From the left side to the right, past the workers' edge of the counter."""
    look = Look(action.pose, action.tool, action.items[0])
    reach = reach_of(look)
    edge = OUTSIDE + 0.8 * layout.hand
    y = rng.uniform(0.55, 0.72, 2)
    start, end = np.array([-edge, y[0]]), np.array([layout.aspect + edge, y[1]])
    tip = _path(rng, start, end, 1.2 * config.pace / config.fps, 0.05)
    still = None
    if rng.uniform() < config.still_share:
        tip, still = _stand_still(rng, tip, config, layout)
    shoulder = np.stack([tip[:, 0], np.full(len(tip), SHOULDER_Y)], axis=1)
    return Performance(
        tip, shoulder, (look,) * len(tip), reach, annotated=(0, len(tip)), still=still
    )


def _operate(
    rng: np.random.Generator, action: ActionClass, layout: Layout, config: FootageConfig
) -> Performance:
    """Come, do something at a place for one to three seconds, go."""
    look = Look(action.pose, action.tool)
    stays = action.station in _AT_PLACE and action.tool in (None, "lever")
    transit = BARE if stays else look
    reach = reach_of(look)
    stations = layout.of_kind(action.station)
    place = _spot(rng, stations[0], 0.12) if stations else free_spot(rng, layout)
    far = max(_way_out(each, reach, layout.hand) for each in (look, transit))
    step = 1.5 * config.pace / config.fps

    def outside() -> np.ndarray:
        return np.array([place[0] + rng.uniform(-0.15, 0.15), far])

    frames = round(rng.uniform(1.0, 2.6) * config.fps)
    work = place + _working(rng, action.motion, frames, config.fps) * layout.hand
    arrive = _path(rng, outside(), work[0], step, 0.1)
    leave = _path(rng, work[-1], outside(), step, 0.1)
    tip = np.concatenate([arrive, work, leave])
    looks = (transit,) * len(arrive) + (look,) * frames + (transit,) * len(leave)
    span = (len(arrive), len(arrive) + frames) if stays else (0, len(tip))
    shoulder = _shoulder(rng, float(place[0]), len(tip))
    return Performance(tip, shoulder, looks, reach, action.name, span)


def _working(rng: np.random.Generator, motion: str, frames: int, fps: float) -> np.ndarray:
    """(frames, 2) offsets in hand lengths of a hand at work."""
    time = np.arange(frames) / fps
    phase, rate = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.3)
    if motion == "tap":
        hops = rng.uniform(-0.35, 0.35, (frames // max(1, round(0.35 * fps)) + 2, 2))
        return hops[(time / 0.35).astype(int)]
    turn = 2 * np.pi * rate * time + phase
    if motion == "circle":
        return np.stack([0.6 * np.cos(turn), 0.4 * np.sin(turn)], axis=1)
    if motion == "slide":
        return np.stack([0.05 * np.sin(turn), 0.35 * np.sin(turn)], axis=1)
    if motion == "shake":
        return np.stack([0.2 * np.sin(2 * turn), 0.12 * np.cos(3 * turn)], axis=1)
    return np.stack([0.06 * np.sin(turn), 0.06 * np.cos(0.7 * turn)], axis=1)  # hover


def _spot(rng: np.random.Generator, station: Station, share: float = 0.2) -> np.ndarray:
    """A point of a station, off its middle by at most `share` of its size."""
    return np.array(station.centre) + rng.uniform(-share, share, 2) * station.size


def free_spot(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """A point on the open counter, clear of till, cutter and meal."""
    taken = [s for s in layout.stations if s.kind in ("pos", "cutter", "tray")]
    best, clearance = None, -np.inf
    for _ in range(20):
        spot = rng.uniform([0.08 * layout.aspect, 0.42], [0.92 * layout.aspect, 0.74])
        gap = min(float(np.abs(spot[0] - s.centre[0]) - s.size[0] / 2) for s in taken)
        if gap > 0.8 * layout.hand:
            return spot
        if gap > clearance:
            best, clearance = spot, gap
    return best


def idle(
    rng: np.random.Generator, layout: Layout, config: FootageConfig, frames: int
) -> Performance:
    """An unlabelled hand that comes, wanders and rests about the open counter, and goes."""
    looks = (BARE, BARE, BARE, Look("flat"), Look("grip", "tongs"), Look("grip", "scooper"))
    usable = [look for look in looks if look.tool in (None, *_tools_about(layout))]
    look = usable[rng.integers(len(usable))]
    reach = reach_of(look)
    spot = free_spot(rng, layout)
    far = _way_out(look, reach, layout.hand)
    home = np.array([spot[0] + rng.uniform(-0.15, 0.15), far])
    step = config.pace / config.fps
    tips = [home[None], _path(rng, home, spot, 1.2 * step, 0.1)]
    while sum(map(len, tips)) < frames:
        if rng.uniform() < 0.5:
            tips.append(np.tile(spot, (rng.integers(3, round(1.2 * config.fps) + 4), 1)))
        else:
            reach_x = min(0.25, 0.12 * layout.aspect)
            target = spot + rng.uniform([-reach_x, -0.2], [reach_x, 0.2])
            target = np.clip(target, [0.06, 0.38], [layout.aspect - 0.06, 0.82])
            target = target if _is_free(target, layout) else spot
            tips.append(_path(rng, spot, target, step * rng.uniform(0.5, 1.3), 0.2))
            spot = target
    tips.append(_path(rng, spot, home, 1.2 * step, 0.1))
    tip = np.concatenate(tips)
    return Performance(tip, _shoulder(rng, float(home[0]), len(tip)), (look,) * len(tip), reach)


def _is_free(spot: np.ndarray, layout: Layout) -> bool:
    return all(
        abs(spot[0] - s.centre[0]) > s.size[0] / 2 + 0.6 * layout.hand
        for s in layout.stations
        if s.kind in ("pos", "cutter")
    )


def _tools_about(layout: Layout) -> tuple[str, ...]:
    """Tools that an idle hand may hold: those that no class tells by the tool alone."""
    contents = {station.content for station in layout.stations}
    return tuple(
        tool
        for tool, holder in (("tongs", "tongs"), ("scooper", "scooper"))
        if holder not in contents and (tool == "tongs" or "rice" in contents)
    )
