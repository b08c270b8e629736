import pytest
import torch

from stadet.detect.batch import ClipBatch, Predictions, Targets
from stadet.detect.detector import Detector
from stadet.detect.inference import InferenceConfig, detect
from stadet.detect.view import View
from stadet.engine.errors import UserError

CPU = torch.device("cpu")
NETWORK = (32, 64)  # (height, width)
EVERYTHING = InferenceConfig(score_floor=0.0)


class Counter(Detector):
    """A box as wide as the frames of the stream so far; a lane is reset where a stream begins."""

    predicts = "every_frame"

    def forward(self, frames, state, starts_stream, valid):
        seen = torch.zeros(len(frames)) if state is None else state
        seen = torch.where(starts_stream, 0, seen)
        counts = seen[:, None] + valid.cumsum(1)
        return [counts.flatten()], counts[:, -1]

    def decode(self, maps):
        widths = maps[0].float()
        corner = torch.zeros_like(widths)
        boxes = torch.stack([corner, corner, widths, corner + 8], 1)[:, None]
        one = torch.ones(len(widths), 1)
        return Predictions(boxes, one, one[..., None] * torch.tensor([0.9, 0.0]))


class LastFrame(Counter):
    predicts = "last_frame"

    def forward(self, frames, state, starts_stream, valid):
        maps, state = super().forward(frames, state, starts_stream, valid)
        return [maps[0].reshape(len(frames), -1)[:, -1]], state


def batch(indices, starts, valid=None, video_size=(64, 64)):
    """indices: (B, T) lists of frame numbers; lanes are videos "0", "1", .."""
    indices = torch.tensor(indices)
    lanes, steps = indices.shape
    return ClipBatch(
        torch.zeros(lanes, steps, 3, *NETWORK, dtype=torch.uint8),
        Targets(torch.zeros(0, 4), torch.zeros(0, 2), torch.zeros(0).long(), torch.zeros(0).bool()),
        torch.tensor(starts),
        torch.ones(lanes, steps).bool() if valid is None else torch.tensor(valid),
        [View.resize(video_size, NETWORK)] * lanes,
        [str(lane) for lane in range(lanes)],
        indices,
    )


def widths(model, batches, config=EVERYTHING):
    return {
        (video, frame): found.boxes[:, 2].tolist()
        for video, frame, found in detect(model, batches, config, CPU)
    }


def test_each_lane_carries_its_state_and_begins_anew():
    found = widths(
        Counter(),
        [
            batch([[0, 1], [5, 6]], [True, True]),
            batch([[2, 3], [20, 21]], [False, True]),
        ],
    )
    lanes = {("0", f): f + 1 for f in range(4)}
    lanes |= {("1", 5): 1, ("1", 6): 2, ("1", 20): 1, ("1", 21): 2}
    assert found == {key: [float(value)] for key, value in lanes.items()}


def test_padding_is_not_answered_for():
    padded = batch([[0, 1, -1], [7, -1, -1]], [True, True], [[1, 1, 0], [1, 0, 0]])
    padded = ClipBatch(**{**vars(padded), "valid": padded.valid.bool()})
    assert list(widths(Counter(), [padded])) == [("0", 0), ("0", 1), ("1", 7)]


def test_key_frame_detectors_answer_for_the_last_frame_of_each_clip():
    found = widths(LastFrame(), [batch([[3, 4, 5], [7, 8, 9]], [True, True])])
    assert found == {("0", 5): [3.0], ("1", 9): [3.0]}


def test_boxes_come_home_to_the_video():
    ((_, _, found),) = detect(
        Counter(), [batch([[0]], [True], video_size=(64, 256))], EVERYTHING, CPU
    )
    assert found.boxes.tolist() == [[0.0, 0.0, 4.0, 16.0]]  # x 4 across, x 2 down
    assert found.scores.tolist() == [[pytest.approx(0.9), 0.0]]


def test_no_batches_and_nothing_above_the_floor():
    assert list(detect(Counter(), [], EVERYTHING, CPU)) == []
    found = widths(Counter(), [batch([[0, 1]], [True])], InferenceConfig(score_floor=0.95))
    assert found == {("0", 0): [], ("0", 1): []}


def test_answers_that_lag_behind_are_used_where_a_model_gives_them():
    class Lagging(Counter):
        def answers(self, batches):
            for one in list(batches):
                yield one, self(one.frames, None, one.starts_stream, one.valid)[0]

    found = widths(Lagging(), [batch([[0]], [True]), batch([[1]], [False])])
    assert found == {("0", 0): [1.0], ("0", 1): [1.0]}


@pytest.mark.parametrize(
    "settings",
    [{"score_floor": 2.0}, {"score_floor": -0.1}, {"iou_threshold": 1.5}, {"max_detections": 0}],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        InferenceConfig(**settings)
