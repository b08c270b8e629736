from dataclasses import dataclass, field
from typing import Literal

import pytest

from stadet.engine.config import dotted_keys, from_dict, load_config, to_dict
from stadet.engine.errors import UserError


@dataclass
class Inner:
    rate: float = 0.1
    mode: Literal["a", "b"] = "a"
    factors: dict[str, float] = field(default_factory=dict)


@dataclass
class Outer:
    seed: int = 0
    size: tuple[int, int] = (3, 4)
    cache: str | None = "here"
    inner: Inner = field(default_factory=Inner)


def test_defaults_file_and_overrides_in_that_order(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("seed: 5\ninner: {rate: 1e-3, factors: {neck: 0.5}}\n")
    config = load_config(Outer, file, ["seed=7", "inner.mode=b"])
    assert config == Outer(7, (3, 4), "here", Inner(1e-3, "b", {"neck": 0.5}))


def test_round_trip_through_plain_data():
    config = Outer(2, (5, 6), None, Inner(0.2, "b", {"x": 1.0}))
    assert to_dict(config)["size"] == [5, 6]
    assert from_dict(Outer, to_dict(config), "test") == config


def test_dotted_keys_lists_every_level():
    assert dotted_keys(Outer) == [
        "seed",
        "size",
        "cache",
        "inner",
        "inner.rate",
        "inner.mode",
        "inner.factors",
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("inner.rat=3", "unknown key 'inner.rat' (did you mean inner.rate"),
        ("inner.rate=fast", "inner.rate"),
        ("inner.mode=c", "inner.mode"),
        ("size=[1]", "size"),
        ("inner.rate=null", "inner.rate: expected a value, found none (null); leave the key out"),
        ("seed=", "seed: expected a value, found none (null)"),
        ("inner=3", "inner: expected keys below it, found 3"),
        ("seed", "expected key.path=value"),
        ("seed=[1", "not YAML"),
    ],
)
def test_errors_are_one_line_and_name_the_key(override, expected):
    with pytest.raises(UserError) as error:
        load_config(Outer, None, [override])
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"), [("a: [1", "line 1"), ("- 1\n", "expected key: value"), (None, "cannot")]
)
def test_bad_files(tmp_path, text, expected):
    file = tmp_path / "bad.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=expected):
        load_config(Outer, file)


def test_an_empty_file_means_the_defaults(tmp_path):
    file = tmp_path / "empty.yaml"
    file.write_text("")
    assert load_config(Outer, file) == Outer()
