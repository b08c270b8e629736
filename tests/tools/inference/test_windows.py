"""Windows without a display, and the frames that `stad predict --show` hands to them."""

import numpy as np
import pytest

from stadet.detect.structures import Detections
from stadet.engine.errors import UserError
from stadet.tools.inference.windows import ShownFrames, Windows


def test_a_missing_display_is_one_line(monkeypatch):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":9876")
    with pytest.raises(UserError, match="--show: expected a display that opens windows"):
        Windows()


class ScriptedWindows:
    def __init__(self, most):
        self.shown, self.most = [], most

    def show(self, name, image):
        self.shown.append((name, image))

    def quit_pressed(self):
        return len(self.shown) >= self.most


@pytest.mark.parametrize("most", [3, 99])
def test_frames_meet_their_answers(most):
    frames = [(n, np.full((20, 30, 3), n, np.uint8)) for n in range(10)]
    none = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 2)))
    windows = ScriptedWindows(most)
    look = ShownFrames(windows, 0.5)
    passing = list(look.passing(frames))  # a model reads ahead of its answers
    answered = list(look.answered("a", ((n, none) for n, _ in passing)))
    assert [n for n, _ in answered] == list(range(min(most, 10)))
    assert [int(image[0, 0, 0]) for _, image in windows.shown] == list(range(min(most, 10)))
    assert look.ended == (most == 3) and not (set(look._waiting) & set(range(len(answered))))
