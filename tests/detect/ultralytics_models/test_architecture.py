import copy

import pytest

from stadet.detect.ultralytics_models.architecture import (
    build_network,
    network_facts,
    network_names,
    read_architecture,
    same_architecture,
)
from stadet.detect.yolo.ultralytics_body import keep_offline
from stadet.engine.errors import UserError


def test_every_name_is_read_as_ultralytics_reads_it():
    keep_offline()
    from ultralytics.nn.tasks import yaml_model_load

    names = network_names()
    assert len(names) > 60 and len(set(names)) == len(names)
    families = ("yolov3", "yolov5n", "yolov8s", "yolo11m", "yolo12l", "yolo26x", "yolov10b")
    assert {*families, "yolov3-tiny", "yolov8x-p6", "yolo26n-p2", "yolov9c"} <= set(names)
    for name in names:
        assert read_architecture(name) == yaml_model_load(f"{name}.yaml"), name
    assert read_architecture("yolo11n.yaml") == read_architecture("yolo11n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yolo99n", "expected one of ultralytics' detector configurations"),
        ("yolo11m-p7", "expected one of ultralytics' detector configurations"),
        ("yolo11", "expected a size with 'yolo11', one of yolo11n, yolo11s"),
        ("yolo11n-seg", "whose head is Segment"),
        ("yolo26n-pose", "whose head is Pose26"),
        ("yolov8-rtdetr", "whose head is RTDETRDecoder"),
        ("../yolo11n", "expected one of ultralytics' detector configurations"),
        ("https://example.org/yolo11n", "expected one of ultralytics' detector configurations"),
        ("", "expected one of ultralytics' detector configurations"),
    ],
)
def test_other_names_are_one_line(name, message):
    with pytest.raises(UserError, match=message) as error:
        read_architecture(name)
    assert "\n" not in str(error.value)


def test_a_slip_has_neighbours():
    with pytest.raises(UserError, match="did you mean yolo26n"):
        read_architecture("yol26n")


def test_a_file_in_the_working_folder_is_not_read(tmp_path, monkeypatch):
    """A configuration may name code, so only those of the package are taken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yolo11n.yaml").write_text("activation: __import__('os').abort()\n")
    assert "activation" not in read_architecture("yolo11n")


@pytest.mark.parametrize(
    ("name", "strides", "bins", "dual"),
    [
        ("yolov3-tiny", (16, 32), 16, False),
        ("yolo11x", (8, 16, 32), 16, False),
        ("yolo26m", (8, 16, 32), 1, True),
        ("yolo26n-p6", (8, 16, 32, 64), 1, True),
        ("yolov10n", (8, 16, 32), 16, True),
    ],
)
def test_facts(name, strides, bins, dual):
    facts = network_facts(name)
    assert (facts.strides, facts.reg_max, facts.has_one_to_one) == (strides, bins, dual)


def test_the_number_of_classes_is_not_part_of_an_architecture():
    wanted = read_architecture("yolo11n")
    assert same_architecture(build_network("yolo11n", 3).yaml, wanted)
    assert not same_architecture(read_architecture("yolo11s"), wanted)
    other = copy.deepcopy(wanted)
    other["head"][1][0] = [-1, 4]  # another layer is concatenated: the same weights fit
    assert not same_architecture(other, wanted)
    assert not same_architecture({**wanted, "activation": "torch.nn.ReLU()"}, wanted)
