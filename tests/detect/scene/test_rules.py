"""The engine, frame by frame, against slow programs over the whole recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.scene.rules import RuleEngine, Seen
from stadet.detect.scene.scene import Camera, Condition, Rule, Scene
from tests.detect.scene.slow_rules import absences, held, sequences

LEFT = np.array([(0, 0), (0.5, 0), (0.5, 1), (0, 1)])
RIGHT = LEFT + np.array([0.5, 0])
DOOR = ((0.5, 1.0), (0.5, 0.0))
CAMERA = Camera("counter", ("*",), None, {"left": LEFT, "right": RIGHT}, {"door": DOOR})
STEPS = st.lists(st.sampled_from([0.1, 0.25, 0.5, 1.0]), min_size=1, max_size=40)
LIMIT = st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 2.0])


def at(x, label="hand", actor=1, score=0.9):
    return Seen(label, (x - 0.05, 0.4, x + 0.05, 0.6), score, actor)


def engine(rule, **options):
    return RuleEngine(Scene("scene.yaml", {"counter": CAMERA}, (rule,)), CAMERA, **options)


def play(rule, times, frames):
    """The ended hits; every one must have begun before, with the same start and frame."""
    running = engine(rule)
    told = [row for t, seen in zip(times, frames, strict=True) for row in running.update(t, seen)]
    told += running.finish()
    begun = [hit for what, hit in told if what == "began"]
    hits = [hit for what, hit in told if what == "ended"]
    key = lambda hit: (hit.actor or 0, hit.start, hit.at)  # noqa: E731
    assert sorted(map(key, begun)) == sorted(map(key, hits))
    assert not running.jumps
    return hits


def recording(data, *names):
    """Times, and for each name whether it holds on each frame."""
    steps = data.draw(STEPS)
    times = np.cumsum(steps).tolist()
    flags = st.lists(st.booleans(), min_size=len(times), max_size=len(times))
    return times, *(data.draw(flags, label=name) for name in names)


@settings(max_examples=200, deadline=None)
@given(st.data(), LIMIT, LIMIT, LIMIT)
def test_presence(data, seconds, grace, cooldown):
    times, holds = recording(data, "holds")
    zone = Condition(("hand",), "left")
    rule = Rule("r", "presence", when=zone, seconds=seconds, grace=grace, cooldown=cooldown)
    frames = [[at(0.2 if held else 0.8), at(0.2, "cloth"), at(0.2, score=0.1)] for held in holds]
    hits = play(rule, times, frames)
    want = held(times, holds, seconds, grace, cooldown)
    assert [(hit.start, hit.stop, hit.at) for hit in hits] == want
    assert all(hit.score == pytest.approx(0.9) and hit.actor is None for hit in hits)


@settings(max_examples=100, deadline=None)
@given(st.data(), LIMIT, LIMIT, LIMIT)
def test_dwell_is_presence_of_each_actor(data, seconds, grace, cooldown):
    times, one, other = recording(data, "one", "other")
    rule = Rule(
        "r",
        "dwell",
        when=Condition(None, "left"),
        seconds=seconds,
        grace=grace,
        cooldown=cooldown,
    )
    frames = [
        [at(0.2 if a else 0.7, actor=1), *([at(0.3, actor=2)] if b else []), at(0.1, actor=None)]
        for a, b in zip(one, other, strict=True)
    ]
    hits = play(rule, times, frames)
    for actor, holds in ((1, one), (2, other)):
        mine = [(hit.start, hit.stop, hit.at) for hit in hits if hit.actor == actor]
        assert mine == held(times, holds, seconds, grace, cooldown)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(0, 3), LIMIT, LIMIT)
def test_count(data, least, seconds, grace):
    steps = data.draw(STEPS)
    times = np.cumsum(steps).tolist()
    numbers = data.draw(st.lists(st.integers(0, 4), min_size=len(times), max_size=len(times)))
    most = least + 1
    rule = Rule(
        "r",
        "count",
        when=Condition(None, "right"),
        seconds=seconds,
        grace=grace,
        at_least=least,
        at_most=most,
    )
    frames = [[at(0.6 + 0.05 * k, actor=k) for k in range(n)] for n in numbers]
    hits = play(rule, times, frames)
    want = held(times, [least <= n <= most for n in numbers], seconds, grace, 0.0)
    assert [(hit.start, hit.stop, hit.at) for hit in hits] == want
    if least == 0 and not any(numbers):
        assert all(hit.score is None for hit in hits)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([0.5, 1.0, 3.0]), st.integers(2, 3), st.booleans())
def test_sequence(data, within, length, same_actor):
    names = ("first", "second", "third")[:length]
    times, unless, *steps = recording(data, "unless", *names)
    rule = Rule(
        "r",
        "sequence",
        steps=tuple(Condition((name,), "left") for name in names),
        unless=Condition(("wipe",)),
        within=within,
        same_actor=same_actor,
    )
    frames = [
        [
            *(at(0.2, name) for name, step in zip(names, steps, strict=True) if step[i]),
            *([at(0.9, "wipe")] if unless[i] else []),
        ]
        for i in range(len(times))
    ]
    hits = play(rule, times, frames)
    want = sequences(times, steps, unless, within)
    assert [(hit.start, hit.stop) for hit in hits] == want
    assert all(hit.actor == (1 if same_actor else None) for hit in hits)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([0.3, 1.0, 3.0]), LIMIT)
def test_absence(data, within, grace):
    times, after, expect = recording(data, "after", "expect")
    rule = Rule(
        "r",
        "absence",
        after=Condition(("touch",), "left"),
        expect=Condition(("wash",)),
        within=within,
        grace=grace,
    )
    frames = [
        [*([at(0.2, "touch")] if after[i] else []), *([at(0.8, "wash")] if expect[i] else [])]
        for i in range(len(times))
    ]
    hits = play(rule, times, frames)
    assert [(hit.start, hit.at) for hit in hits] == absences(times, after, expect, within, grace)
    assert all(hit.stop == pytest.approx(hit.start + within) for hit in hits)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.2, 0.4, 0.6, 0.8]), min_size=1, max_size=30))
def test_crossing_counts_changes_of_side(places):
    times = [0.1 * i for i in range(len(places))]
    frames = [[at(x), at(x, actor=None)] for x in places]
    for direction, wanted in (("any", (1, -1)), ("left_to_right", (1,)), ("right_to_left", (-1,))):
        rule = Rule("r", "crossing", line="door", direction=direction)
        changes = np.diff([x > 0.5 for x in places], prepend=places[0] > 0.5)
        signed = np.diff(np.array([x > 0.5 for x in places], dtype=int))
        hits = play(rule, times, frames)
        assert [hit.stop for hit in hits] == [
            t for t, way in zip(times[1:], signed.tolist(), strict=True) if way in wanted
        ]
        assert direction != "any" or len(hits) == changes.sum()


def test_an_actor_unseen_for_longer_than_the_grace_crosses_nothing():
    rule = Rule("r", "crossing", line="door", grace=1.0)
    gone = [[at(0.2)], *[[]] * 5, [at(0.8)]]
    assert len(play(rule, [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0], gone)) == 1
    assert not play(rule, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2], gone)


@pytest.mark.parametrize("jump", [-3.0, 0.0, 60.0])
def test_clocks_that_jump_end_what_goes_on(jump):
    running = engine(Rule("r", "presence", when=Condition(None, "left"), cooldown=5.0))
    for t in (10.0, 10.5):
        running.update(t, [at(0.2)])
    told = running.update(10.5 + jump, [at(0.2)])
    assert [(what, hit.start, hit.stop) for what, hit in told[:1]] == [("ended", 10.0, 10.5)]
    assert told[1][0] == "began" and told[1][1].start == 10.5 + jump  # no cooldown of another clock
    assert running.jumps == 1


def test_anchor():
    tall = Seen("person", (0.2, 0.0, 0.3, 1.0))
    upper = Camera("c", ("*",), None, {"up": np.array([(0, 0), (1, 0), (1, 0.3), (0, 0.3)])})
    for anchor, inside in (("top", True), ("center", False), ("bottom", False)):
        rule = Rule("r", "presence", when=Condition(None, "up"), anchor=anchor)
        told = RuleEngine(Scene("s", {"c": upper}, (rule,)), upper).update(0.0, [tall])
        assert bool(told) == inside
    whole = Camera("c", ("*",), None, {"all": np.array([(0, 0), (1, 0), (1, 1), (0, 1)])})
    rule = Rule("r", "presence", when=Condition(None, "all"), anchor="bottom")
    assert RuleEngine(Scene("s", {"c": whole}, (rule,)), whole).update(0.0, [tall])
