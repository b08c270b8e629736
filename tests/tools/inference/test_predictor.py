import numpy as np
import pytest
import torch

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.temporal import TemporalBlock
from stadet.tools.inference.detectors import open_detector
from stadet.tools.inference.predictor import Predictor
from tests.tools.small_checkpoints import save_small_checkpoint

CPU = torch.device("cpu")


def frames(count, size):
    rng = np.random.default_rng(0)
    return [(i, rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for i in range(count)]


def let_memory_speak(model):
    """A new model's memory adds nothing; give its projections weights."""
    with torch.no_grad():
        for block in model.modules():
            if isinstance(block, TemporalBlock):
                block.project.weight.normal_(generator=torch.Generator().manual_seed(1))


def test_forgetting_keeps_the_differences_and_drops_the_cells_memory(tmp_path):
    path = save_small_checkpoint(tmp_path / "a.pt", "recurrent-yolo")
    remembering, forgetting = open_detector(path), open_detector(path)
    let_memory_speak(remembering.model)
    forgetting.model.load_state_dict(remembering.model.state_dict())
    size = tuple(remembering.config.data.size)
    footage = frames(6, size)
    kept = list(Predictor(remembering, CPU)(iter(footage), "v", size))
    dropped = list(Predictor(forgetting, CPU, forget=True)(iter(footage), "v", size))
    assert np.allclose(kept[0][1].scores, dropped[0][1].scores, atol=1e-6)
    assert any(
        a.boxes.shape != b.boxes.shape or not np.allclose(a.scores, b.scores)
        for (_, a), (_, b) in zip(kept[1:], dropped[1:], strict=True)
    )
    assert all(
        not block.carry for block in forgetting.model.modules() if isinstance(block, TemporalBlock)
    )


def test_a_frame_detector_has_nothing_to_forget(tmp_path):
    detector = open_detector(save_small_checkpoint(tmp_path / "a.pt", "yolo"))
    with pytest.raises(UserError, match="without memory"):
        Predictor(detector, CPU, forget=True)


def same(a, b):
    return a.boxes.shape == b.boxes.shape and np.allclose(a.scores, b.scores, atol=1e-5)


def test_after_a_scene_cut_the_detector_answers_as_on_a_new_video(tmp_path):
    path = save_small_checkpoint(tmp_path / "a.pt", "recurrent-yolo")
    detector = open_detector(path)
    let_memory_speak(detector.model)
    size = tuple(detector.config.data.size)
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 90, (5, *size, 3), dtype=np.uint8)
    bright = rng.integers(160, 255, (4, *size, 3), dtype=np.uint8)
    footage = list(enumerate([*dark, *bright]))
    reset = [d for _, d in Predictor(detector, CPU, scene_cuts=0.5)(iter(footage), "v", size)]
    carried = [d for _, d in Predictor(detector, CPU)(iter(footage), "v", size)]
    alone = [d for _, d in Predictor(detector, CPU)(iter(enumerate(bright)), "v", size)]
    assert all(map(same, reset[5:], alone))
    assert all(map(same, reset[:5], carried[:5]))
    assert not all(map(same, carried[5:], alone))


def test_scene_cuts_are_for_detectors_that_use_earlier_frames(tmp_path):
    detector = open_detector(save_small_checkpoint(tmp_path / "a.pt", "yolo"))
    with pytest.raises(UserError, match="without"):
        Predictor(detector, CPU, scene_cuts=0.5)
