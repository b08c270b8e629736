import dataclasses
import json
import typing

import pytest

from stadet.datasets.dataset import DatasetConfig
from stadet.engine.config import to_dict
from stadet.engine.config_docs import documented_keys, keys_text
from stadet.tools.classification.config import ClassifierConfig, SourceConfig
from stadet.tools.training.config import TrainConfig

KINDS = [TrainConfig, ClassifierConfig, DatasetConfig]


def name_of(kind):
    return f"{kind.__module__}:{kind.__name__}"


def instances(kind):
    """The configuration with its defaults, as the program itself makes it."""
    if kind is DatasetConfig:
        return {"format": "", **to_dict(DatasetConfig(format="cvat"))} | {"format": ""}
    if kind is ClassifierConfig:
        return to_dict(ClassifierConfig(second=SourceConfig()))
    return to_dict(kind())


def flat(values, types, prefix=""):
    """{dotted key: default}; only dataclasses are descended into."""
    found = {}
    for key, value in values.items():
        inner = next(
            (t for t in (types[key], *typing.get_args(types[key])) if dataclasses.is_dataclass(t)),
            None,
        )
        if inner is not None:
            found |= flat(value, typing.get_type_hints(inner), f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_source_says_what_the_program_does(kind):
    expected = flat(instances(kind), typing.get_type_hints(kind))
    documented = {key.path: key for key in documented_keys(name_of(kind))}
    assert set(documented) == set(expected)
    for path, value in expected.items():
        default = documented[path].default
        if isinstance(value, float) and "/" in default:
            above, _, below = default.partition("/")
            assert float(above) / float(below) == value
        else:
            assert default == (value if isinstance(value, str) else json.dumps(value)), path


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_has_a_meaning(kind):
    keys = documented_keys(name_of(kind))
    assert not [key.path for key in keys if not key.text]
    text = " ".join(keys_text(name_of(kind)).split())
    assert all(f"{key.path}: {key.type}" in text and key.text in text for key in keys)


def test_names_of_types_become_choices():
    kinds = {key.path: key.type for key in documented_keys(name_of(ClassifierConfig))}
    assert kinds["data.split"] == "given | stratified | grouped | all"
    assert kinds["data.folds"] == "int | null"
