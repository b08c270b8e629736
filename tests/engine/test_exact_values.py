"""Values of exactly their field's type: taken as jsonargparse takes them; others are left to it."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from stadet.engine import config as configuration
from stadet.engine.config import from_dict, to_dict
from stadet.engine.errors import UserError
from stadet.engine.exact_values import InexactError, build_exact
from stadet.engine.limits import expect_limits
from tests.conftest import ROOT


@dataclass
class Inner:
    rate: float = 1  # an int, as careless authors write it
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    pair: tuple[float, float] = (0.5, 2)
    many: tuple[int, ...] = ()
    factors: dict[str, float] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outer:
    name: str
    fps: float | Literal["native"] | None = None
    where: str | None = None
    steps: list[int] | None = None
    on: bool = False
    seed: int = 0
    mode: Literal["a", "b", 3] = "a"
    inner: Inner = field(default_factory=lambda: Inner(rate=3, sizes=[7]))
    other: Inner | None = None

    def __post_init__(self):
        expect_limits(self, "outer", seed=(0, 9))


def by_jsonargparse(monkeypatch, kind, values):
    """What `from_dict` gives without the short way, a configuration or a message."""

    def refuse(*_):
        raise InexactError

    with monkeypatch.context() as patched:
        patched.setattr(configuration, "build_exact", refuse)
        try:
            return from_dict(kind, values, "a test")
        except UserError as error:
            return str(error)


EXACT = [
    {},
    {"fps": 15.0, "where": "here", "steps": [1], "on": True, "seed": 3, "mode": 3},
    {"fps": 15, "where": "12", "mode": "b"},
    {"fps": "native", "where": "", "steps": []},
    {"where": "true", "inner": {}},
    {"inner": {"rate": 2}, "other": {"rate": 2.5}},
    {"inner": {"pair": [1, 2], "many": [1, 2, 3], "factors": {"a": 1, "b": 0.5}}},
    {"inner": {"options": {"a": {"b": [1, "2", None, "1e-3"]}}}, "other": None},
]
LEFT = [
    {"fps": "15"},
    {"where": "null"},
    {"where": "~"},
    {"seed": "3"},
    {"seed": True},
    {"seed": 3.0},
    {"seed": 10},
    {"on": 1},
    {"mode": "c"},
    {"mode": 3.0},
    {"steps": "[1, 2]"},
    {"inner": {"sizes": [1.5]}},
    {"inner": {"pair": [1]}},
    {"inner": {"factors": {"a": "x"}}},
    {"inner": {"rate": float("nan"), "sizes": 3}},
    {"other": {"rat": 1}},
]


@pytest.mark.parametrize("values", EXACT)
def test_exact_values_are_taken_as_jsonargparse_takes_them(monkeypatch, values):
    values = {"name": "x", **values}
    found = build_exact(Outer, values)
    wanted = by_jsonargparse(monkeypatch, Outer, values)
    assert found == wanted and repr(found) == repr(wanted)  # 1 is not 1.0


@pytest.mark.parametrize("values", LEFT)
def test_other_values_are_left_to_jsonargparse(monkeypatch, values):
    values = {"name": "x", **values}
    with pytest.raises((InexactError, UserError)):
        build_exact(Outer, values)
    try:
        found = from_dict(Outer, values, "a test")
    except UserError as error:
        found = str(error)
    assert repr(found) == repr(by_jsonargparse(monkeypatch, Outer, values))


def test_a_field_without_a_default_is_needed():
    with pytest.raises(TypeError):
        build_exact(Outer, {})
    with pytest.raises(UserError, match="name"):
        from_dict(Outer, {}, "a test")


def test_nothing_is_shared_with_the_values():
    values = {"name": "x", "inner": {"sizes": [1], "options": {"a": [1]}}}
    found = build_exact(Outer, values)
    values["inner"]["sizes"].append(2)
    values["inner"]["options"]["a"].append(2)
    assert found.inner.sizes == [1] and found.inner.options == {"a": [1]}


def test_every_configuration_of_the_toolkit(monkeypatch):
    from stadet.engine.config import read_yaml
    from stadet.tools.classification.config import ClassifierConfig
    from stadet.tools.training.config import TrainConfig
    from stadet.tools.training.recipe import config_class, find_recipe

    exact = 0
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        values = read_yaml(path)
        kind = TrainConfig
        if "root" in values.get("data", {}) or isinstance(values.get("model"), dict):
            kind = ClassifierConfig
        wanted = by_jsonargparse(monkeypatch, kind, values)
        assert isinstance(wanted, kind), wanted
        assert repr(from_dict(kind, values, "a test")) == repr(wanted), path
        if kind is TrainConfig:
            kind = config_class(find_recipe(values.get("model", "yolo")))
        assert repr(build_exact(kind, to_dict(wanted))) == repr(wanted), path  # as in checkpoints
        exact += 1
    assert exact > 5
