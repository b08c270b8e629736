"""What `Detector` promises, over every detector of the toolkit."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from stadet.detect.batch import ClipBatch, Targets
from stadet.detect.detector import Detector
from stadet.detect.runtime.fixed_shape import FixedShape
from stadet.detect.view import View
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.single_step import SingleStep
from stadet.recurrent_yolo.stacked import StackedYOLO
from stadet.recurrent_yolo.temporal import TemporalBlock
from stadet.tools.inference.detectors import DetectorFile, open_detector
from stadet.yowo.feature_bank import FeatureBank
from stadet.yowo.streaming import TemporalEvery
from tests.recurrent_yolo.tiny import detector as small_yolov3
from tests.recurrent_yolo.tiny import randomise
from tests.tools.small_checkpoints import SIZE, save_small_checkpoint

LENGTH = 12  # frames of a stream, more than a clip


@cache
def made(kind: str) -> DetectorFile:
    """The opened checkpoint of each kind, made once; tests get copies of its model."""
    with TemporaryDirectory() as folder:
        detector = open_detector(save_small_checkpoint(Path(folder) / "best.pt", kind))
    for module in detector.model.modules():
        if isinstance(module, TemporalBlock):  # a memory that says something
            randomise(module)
    if isinstance(detector.model, StackedYOLO):
        randomise(next(m for m in detector.model.modules() if isinstance(m, torch.nn.Conv2d)))
    return detector


def opened(kind: str) -> Detector:
    torch.manual_seed(0)  # of what the tests draw
    return copy.deepcopy(made(kind).model)


@cache
def graph(kind: str) -> bytes:
    from stadet.tools.inference.exported import export_detector

    return export_detector(replace(made(kind), model=opened(kind)))


def exported(kind: str) -> Detector:
    pytest.importorskip("onnxruntime")
    from stadet.tools.inference.exported import session_detector

    return session_detector(graph(kind), "onnx")


MAKERS: dict[str, Callable[..., Detector]] = {
    "yolov3": lambda: small_yolov3(),
    "yolov3-tiny": lambda: opened("yolo"),
    "recurrent-yolo": lambda: opened("recurrent-yolo"),
    "stacked-yolo": lambda: opened("stacked-yolo"),
    "ultralytics": lambda: opened("ultralytics"),
    "recurrent-ultralytics": lambda: opened("recurrent-ultralytics"),
    "yowo": lambda: opened("yowo"),
    "3D branch every 2": lambda: TemporalEvery(opened("yowo"), 2),
    "fixed shape": lambda: FixedShape(opened("recurrent-yolo")),
    "exported yolo": lambda: exported("yolo"),
    "exported recurrent-yolo": lambda: exported("recurrent-yolo"),
    "exported recurrent-ultralytics": lambda: exported("recurrent-ultralytics"),
    "exported yowo": lambda: exported("yowo"),
}
SINGLE_LANE = ("exported recurrent-yolo", "exported recurrent-ultralytics", "3D branch every 2")
# whose batch is fixed, or a stream


@pytest.fixture(params=MAKERS)
def kind(request):
    return request.param


@pytest.fixture
def detector(kind):
    return MAKERS[kind]().eval()


def clips(detector: Detector, lanes: int, seed: int = 0) -> torch.Tensor:
    steps = LENGTH if detector.predicts == "every_frame" else detector.clip_length
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (lanes, steps, 3, *SIZE), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def answer(detector: Detector, frames, state=None, starts_stream=None, valid=None):
    maps, state = detector(frames, state, starts_stream, valid)
    found = detector.decode(maps)
    return torch.cat([found.boxes, found.objectness[..., None], found.scores], -1), state


def expect_same(found, wanted, tolerance=2e-3):
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=tolerance)


def test_the_attributes_are_those_of_the_contract(detector, kind):
    assert isinstance(detector, Detector)
    assert detector.predicts == ("last_frame" if "yowo" in kind or "3D" in kind else "every_frame")
    assert detector.clip_length >= 1 and detector.clip_step == 1
    assert detector.period == (2 if kind.startswith("3D") else 1)
    wanted = {
        "yolov3": 0,
        "yolov3-tiny": 0,
        "stacked-yolo": 1,
        "exported yolo": 0,
        "ultralytics": 0,
    }
    wanted |= {"yowo": 7, "exported yowo": 7, "3D branch every 2": 8}
    assert detector.context_frames == wanted.get(kind)  # None of those with a memory
    assert detector.follows_streams == (kind in ("stacked-yolo", "fixed shape") or "rec" in kind)


def test_shapes(detector, kind):
    lanes = 1 if kind in SINGLE_LANE else 2
    frames = clips(detector, lanes)
    maps, _ = detector(frames)
    found = detector.decode(maps)
    images = lanes * (LENGTH if detector.predicts == "every_frame" else 1)
    count = found.boxes.shape[1]
    assert found.boxes.shape == (images, count, 4)
    assert found.objectness.shape == (images, count)
    assert found.scores.shape[:2] == (images, count) and found.scores.shape[2] in (2, 3)
    assert found.scores.min() >= 0 and found.scores.max() <= 1
    assert (found.scores <= found.objectness[..., None] + 1e-6).all()


def test_a_batch_is_its_clips_one_by_one(detector, kind):
    if kind in SINGLE_LANE:
        pytest.skip("one stream at a time")
    frames = clips(detector, 2)
    together, _ = answer(detector, frames)
    if kind == "fixed shape":
        detector = FixedShape(detector.model)
    alone = [answer(detector, frames[lane : lane + 1])[0] for lane in range(2)]
    # pixels: many layers that nobody trained amplify what a batch of another size rounds otherwise
    expect_same(together, torch.cat(alone), 1e-2 if kind == "ultralytics" else 2e-3)


def test_a_stream_in_pieces_is_the_whole_stream(detector):
    if detector.predicts == "last_frame":
        pytest.skip("a clip is whole by itself")
    frames = clips(detector, 1)
    whole, _ = answer(detector, frames)
    state, parts = None, []
    for first, stop in ((0, 5), (5, 6), (6, LENGTH)):
        part, state = answer(detector, frames[:, first:stop], state)
        parts.append(part)
    expect_same(torch.cat(parts), whole)


def test_a_beginning_forgets_and_padding_leaves_no_trace(detector):
    if not detector.follows_streams:
        pytest.skip("no memory")
    frames, other = clips(detector, 1), clips(detector, 1, seed=1)
    whole, _ = answer(detector, frames)
    _, state = answer(detector, other)
    starts = torch.tensor([True])
    expect_same(answer(detector, frames, state, starts)[0], whole)
    assert not torch.allclose(answer(detector, frames, state)[0], whole, atol=1e-3)
    padded = torch.cat([frames[:, :4], other[:, :3], frames[:, 4:]], dim=1)
    valid = torch.ones(1, LENGTH + 3, dtype=torch.bool)
    valid[:, 4:7] = False
    found, _ = answer(detector, padded, None, None, valid)
    expect_same(found[valid[0]], whole)


def windows(frames, length):
    """Windows of one stream as `live_batches` makes them."""
    nothing = Targets(
        torch.zeros(0, 4), torch.zeros(0, 2), torch.zeros(0).long(), torch.zeros(0).bool()
    )
    for first in range(0, frames.shape[1], length):
        part = frames[:, first : first + length]
        steps = part.shape[1]
        yield ClipBatch(
            part,
            nothing,
            torch.tensor([first == 0]),
            torch.ones(1, steps, dtype=torch.bool),
            [View.resize(SIZE, SIZE)],
            ["v"],
            torch.arange(first, first + steps)[None],
        )


@torch.no_grad()
@pytest.mark.parametrize("name", ["yolov3-tiny", "recurrent-yolo", "feature bank"])
def test_answers_come_for_every_batch_in_order(name):
    if name == "feature bank":
        model = FeatureBank(opened("yowo"), clips=2, clip_length=4)
    else:
        model = MAKERS[name]()
    frames = torch.randint(0, 256, (1, LENGTH, 3, *SIZE), dtype=torch.uint8)
    given = list(windows(frames, model.period if model.period > 1 else 5))
    found = list(model.eval().answers(iter(given)))
    assert [batch.frame_indices.tolist() for batch, _ in found] == [
        batch.frame_indices.tolist() for batch in given
    ]
    maps = [torch.cat(level) for level in zip(*(maps for _, maps in found), strict=True)]
    assert len(maps[0]) == LENGTH
    if name != "feature bank":
        whole, _ = model(frames)
        expect_same(maps[0], whole[0])


@torch.no_grad()
@pytest.mark.parametrize("name", ["yolov3-tiny", "recurrent-yolo", "stacked-yolo", "yowo"])
def test_the_single_step_is_what_the_stream_says(name):
    model = MAKERS[name]().eval()
    step, state = model.single_step(1, SIZE)
    assert (state is None) == (not model.follows_streams) == (step is model)
    if state is None:
        return
    assert isinstance(step, SingleStep)
    frames = torch.randint(0, 256, (1, LENGTH, 3, *SIZE), dtype=torch.uint8)
    whole, _ = answer(model, frames)
    tensors, parts = tuple(state.values()), []
    for number in range(LENGTH):
        part, tensors = answer(step, frames[:, number : number + 1], tensors)
        parts.append(part)
    expect_same(torch.cat(parts), whole)


def test_the_defaults_are_those_of_a_frame_detector():
    plain = Detector()
    assert (plain.predicts, plain.clip_length, plain.clip_step, plain.period) == (
        "every_frame",
        1,
        1,
        1,
    )
    assert plain.context_frames == 0 and not plain.follows_streams and not plain.compiled_parts
    with pytest.raises(NotImplementedError, match=r"Detector\.forward"):
        plain(torch.zeros(1, 1, 3, *SIZE))


@pytest.mark.parametrize("name", ["yolov3", "yolov3-tiny", "recurrent-yolo", "yowo"])
def test_a_size_that_the_strides_do_not_divide_is_refused(name):
    model = MAKERS[name]()
    frames = np.zeros((1, model.clip_length, 3, 40, 64), dtype=np.uint8)
    with pytest.raises(UserError, match=r"divisible by 32, found \(40, 64\); use \(32, 64\)"):
        model(torch.from_numpy(frames))
