import threading
import time

import pytest

from stadet.datasets.clips.prefetch import prefetch


def threads():
    return [t for t in threading.enumerate() if t.name == "prefetch"]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_the_same_items_in_the_same_order(count, depth):
    assert list(prefetch(range(count), depth)) == list(range(count))
    assert not threads()


def test_an_error_comes_where_its_item_would_have_come():
    def broken():
        yield 0
        yield 1
        raise ValueError("frame 2 is damaged")

    found = []
    with pytest.raises(ValueError, match="frame 2 is damaged"):
        for item in prefetch(broken()):
            found.append(item)
    assert found == [0, 1]
    assert not threads()


def test_at_most_depth_items_wait():
    made = []
    wanted = prefetch((made.append(i) or i for i in range(100)), depth=2)
    next(wanted)
    deadline = time.monotonic() + 2
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) == 4  # one is out, two wait, one is held by the thread
    wanted.close()


def test_an_early_end_stops_the_thread_and_closes_the_source():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    wanted = prefetch(endless())
    next(wanted)
    wanted.close()
    assert closed.is_set() and not threads()


def test_making_and_using_overlap():
    def slow():
        for item in range(5):
            time.sleep(0.05)
            yield item

    began = time.monotonic()
    for _ in prefetch(slow()):
        time.sleep(0.05)
    assert time.monotonic() - began < 0.42  # one after the other: 0.5


def test_nothing_is_made_before_the_first_is_asked_for():
    made = []
    prefetch(made.append(i) for i in range(3))
    assert not made and not threads()
    with pytest.raises(ValueError, match="depth"):
        prefetch([], 0)
