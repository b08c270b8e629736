from hypothesis import given
from hypothesis import strategies as st

from stadet.engine.dealing import deal_longest_first


def test_as_a_table():
    assert deal_longest_first([3, 5, 5, 1, 2], 2) == [[1, 0], [2, 4, 3]]
    assert deal_longest_first([1, 1, 1], 2) == [[0, 2], [1]]
    assert deal_longest_first([], 3) == [[], [], []]


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 5))
def test_everything_is_dealt_once_and_no_hand_could_end_much_earlier(loads, hands):
    dealt = deal_longest_first(loads, hands)
    assert sorted(place for hand in dealt for place in hand) == list(range(len(loads)))
    ends = [sum(loads[place] for place in hand) for hand in dealt]
    assert max(ends) - min(ends) <= max(loads, default=0)
