import pytest
import torch

from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
from stadet.engine.errors import UserError
from stadet.tools.inference.detectors import open_detector
from tests.tools.small_checkpoints import NAMES, SIZE, save_small_checkpoint

KINDS = ("yolo", "recurrent-yolo", "stacked-yolo", "yowo", "ultralytics", "recurrent-ultralytics")


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_opens_as_what_was_saved(tmp_path, kind):
    path = save_small_checkpoint(tmp_path / "a.pt", kind)
    detector = open_detector(path)
    assert detector.names == NAMES and detector.config.model == kind
    assert detector.threshold is None and not detector.model.training
    content = load_checkpoint(path)
    assert (detector.anchors and detector.anchors.to_dict()) == content["anchors"] or (
        detector.anchors is None and "ultralytics" in kind  # without anchors
    )
    for name, tensor in detector.model.state_dict().items():
        assert torch.equal(tensor, content["model"][name])
    maps, _ = detector.model(torch.zeros(1, detector.model.clip_length, 3, *SIZE))
    predictions = detector.model.decode(maps)
    assert predictions.scores.shape[-1] == len(NAMES)
    assert detector.model.predicts in ("every_frame", "last_frame")


def resaved(path, **changes):
    content = load_checkpoint(path)
    for key, value in changes.items():
        if value is None:
            del content[key]
        else:
            content[key] = value
    save_checkpoint(path, {key: value for key, value in content.items() if key != "schema"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": None}, r"not of a detector \('config'\)"),
        ({"config": {"model": "classifier"}}, "model"),
        ({"config": {"new_key": 1}}, "unknown key 'new_key'"),
        ({"anchors": None}, "not of a detector"),
        ({"names": ["a", "b", "c"]}, "its weights do not fit its own configuration"),
        ({"model": {}}, "its weights do not fit its own configuration"),
    ],
)
def test_another_file_is_one_line(tmp_path, changes, message):
    path = save_small_checkpoint(tmp_path / "a.pt", "yolo")
    resaved(path, **changes)
    with pytest.raises(UserError, match=message) as found:
        open_detector(path)
    assert "\n" not in str(found.value) and "a.pt" in str(found.value)


def test_a_missing_a_foreign_and_a_cut_file(tmp_path):
    path = save_small_checkpoint(tmp_path / "a.pt", "yolo")
    (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:5000])
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    for name, message in (
        ("absent.pt", "no such file"),
        ("cut.pt", "not a whole checkpoint file"),
        ("foreign.pt", "expected schema 'stad-checkpoint/1', found None"),
    ):
        with pytest.raises(UserError, match=message):
            open_detector(tmp_path / name)
