"""Arguments of another kind than annotated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from stadet.engine.signatures import checked, expect_kind, fitting

Rate = float | None


class TubeSet:
    pass


class Longer(TubeSet):
    pass


FITS = {
    "int": ([1, np.int64(2), True], [1.5, "1", None, np.float64(1)]),
    "float": ([1, 0.5, np.float32(1), np.int8(1)], ["1", None, 1j, np.ones(1)]),
    "bool": ([True, np.bool_(False)], [1, "yes", None]),
    "str": (["a", np.str_("a")], [b"a", Path("a"), None]),
    "str | Path | None": (["a", Path("a"), None], [b"a", 1, ["a"]]),
    "Sequence[str]": ([["a"], (), np.array(["a", "b"])], ["ab", [1], {"a": 1}, {"a"}, None, 3]),
    "tuple[int, int]": ([(1, 2), [3, 4], np.array([1, 2])], [(1,), (1, 2, 3), (1, "2"), 5, "12"]),
    "tuple[str, ...]": ([(), ("a",), ["a", "b", "c"]], ["abc", ("a", 1)]),
    "Iterable[str | Path]": ([["a"], iter(["a"]), {"a": 1}], ["a", b"a", 5, None]),
    "Mapping[str, Path]": ([{}, {"a": Path("a")}], [[], "a", None]),
    "Callable[[int], None]": ([print, TubeSet], ["print", None]),
    "Literal['a', 'b'] | None": (["a", "other", None], [1, ["a"]]),
    "np.ndarray": ([np.ones(2)], [[1], torch.ones(2), None]),
    "type[TubeSet]": ([TubeSet, int], [TubeSet(), "TubeSet"]),
    "TubeSet": ([TubeSet(), Longer()], [TubeSet, "TubeSet", None]),
    "somewhere.TubeSet": ([TubeSet()], [5]),
    "Rate": ([1, "anything"], []),
    "Any": ([1, None], []),
}


@pytest.mark.parametrize("annotation", FITS)
def test_what_fits(annotation):
    fits = fitting(annotation, globals())
    fitting_values, others = FITS[annotation]
    assert [value for value in fitting_values if not fits(value)] == []
    assert [value for value in others if fits(value)] == []


@checked
def link(
    tubes: TubeSet, names: Sequence[str] = (), *more: int, rate: Rate = None, **options: int
) -> str:
    """Documented."""
    return f"{names} {more} {rate} {options}"


def test_a_call_that_fits_is_as_without_the_check():
    assert link(TubeSet(), ["a"], "b", rate="c", d=4) == "['a'] ('b',) c {'d': 4}"
    assert link(tubes=TubeSet()) == "() () None {}"
    assert (link.__name__, link.__doc__) == ("link", "Documented.")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("a.json",), r"found str 'a.json'; stadet.read_tubes\(path\) reads one$"),
        ((Path("a.json"),), "link: tubes: expected TubeSet, found PosixPath 'a.json'; stadet"),
        ((None,), "link: tubes: expected TubeSet, found None$"),
        ((np.zeros((2, 3)),), r"link: tubes: expected TubeSet, found ndarray of shape \(2, 3\)$"),
        ((TubeSet(), "ab"), r"link: names: expected Sequence\[str\], found str 'ab'$"),
        ((TubeSet(), ["a", None]), r"expected Sequence\[str\], found list of NoneType, str$"),
        ((), r"link\(\) missing 1 required positional argument: 'tubes'$"),
    ],
)
def test_another_kind_is_one_line(given, line):
    with pytest.raises(TypeError, match=line) as caught:
        link(*given)
    assert "\n" not in str(caught.value)


def test_one_value():
    expect_kind("Found: names", ("a",), "Sequence[str]")
    with pytest.raises(TypeError, match=r"^Found: names: expected Sequence\[str\], found str 'a'$"):
        expect_kind("Found: names", "a", "Sequence[str]")


def test_names_of_annotations_are_used():  # the linter does not see those in texts
    assert all((Callable, Iterable, Mapping, Literal))
