import copy

import pytest
import torch

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.stacked import StackedYOLO
from tests.recurrent_yolo.tiny import detector, frames, randomise


@pytest.mark.parametrize("count", [2, 3])
def test_starts_as_its_detector(count):
    trained = detector()
    model = StackedYOLO(copy.deepcopy(trained), count).eval()
    maps, _ = model(frames())
    want, _ = trained(frames())
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(maps, want, strict=True))


def test_sees_the_last_frames_only_whatever_the_window():
    model, x = StackedYOLO(detector(), 3).eval(), frames(1, 6)
    randomise(model.detector.backbone.stem, 0.2)
    with torch.no_grad():
        whole, _ = model(x)
        state, parts = None, []
        for part in x.split(2, 1):
            maps, state = model(part, state)
            parts.append(maps[0])
        assert torch.allclose(torch.cat(parts), whole[0], atol=1e-5)
        changed = x.clone()
        changed[:, 1] = 255 - changed[:, 1]
        other, _ = model(changed)
    reached = [not torch.allclose(whole[0][t], other[0][t], atol=1e-5) for t in range(6)]
    assert reached == [False, True, True, True, False, False]


def test_the_first_frame_stands_for_those_before_it():
    model, x = StackedYOLO(detector(), 3).eval(), frames(1, 1)
    randomise(model.detector.backbone.stem, 0.2)
    still, _ = model(x.repeat(1, 4, 1, 1, 1))
    assert torch.allclose(still[0][:1], still[0][3:], atol=1e-5)


def test_one_frame_is_no_stack():
    with pytest.raises(UserError, match="at least 2"):
        StackedYOLO(detector(), 1)
