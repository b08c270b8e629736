import copy

import pytest
import torch

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.model import PARTS, RecurrentYOLO
from stadet.recurrent_yolo.temporal import MemoryConfig
from tests.recurrent_yolo.tiny import detector, frames, randomise

REPORT = MemoryConfig(depthwise=False, hidden=1, peepholes="conv", differences=(), residual=False)
MEMORIES = {
    "default": MemoryConfig(hidden=4),
    "gru": MemoryConfig(cell="gru", hidden=0.5, depthwise=False),
    "min gru, no differences": MemoryConfig(cell="mingru", hidden=4, differences=()),
    "report": REPORT,
}
every_memory = pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES.keys())


def build(memory=None, **options):
    model = RecurrentYOLO(detector(), memory or MemoryConfig(hidden=4), **options)
    randomise(model.memory)
    return model.eval()


def same(maps, others, atol=1e-4):
    return all(torch.allclose(a, b, atol=atol) for a, b in zip(maps, others, strict=True))


def lane(maps, index, lanes):
    return [m.unflatten(0, (lanes, -1))[index] for m in maps]


@pytest.mark.parametrize("placement", PARTS)
@pytest.mark.parametrize("levels", [None, [0], [1, 2]])
def test_a_ported_model_detects_exactly_as_its_detector(placement, levels):
    trained = detector()
    model = RecurrentYOLO(copy.deepcopy(trained), placement=placement, levels=levels).eval()
    x = frames()
    maps, state = model(x)
    maps_later, _ = model(x, state)
    want, _ = trained(x)
    for found in (maps, maps_later):
        assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))
    ours, theirs = model.decode(maps), trained.decode(want)
    assert torch.equal(ours.boxes, theirs.boxes) and torch.equal(ours.scores, theirs.scores)


@every_memory
@pytest.mark.parametrize("placement", PARTS)
def test_windows_equal_the_whole(memory, placement):
    model, x = build(memory, placement=placement), frames()
    with torch.no_grad():
        whole, _ = model(x)
        for window in (1, 4):
            state, parts = None, []
            for part in x.split(window, 1):
                maps, state = model(part, state)
                parts.append([m.unflatten(0, part.shape[:2]) for m in maps])
            chunked = [torch.cat(level, 1).flatten(0, 1) for level in zip(*parts, strict=True)]
            assert same(chunked, whole)


@every_memory
def test_a_lane_sees_neither_its_neighbours_nor_the_clip_before(memory):
    model, x = build(memory), frames(3)
    with torch.no_grad():
        _, state = model(frames(3, seed=1))
        maps, _ = model(x, state, starts_stream=torch.tensor([True, False, True]))
        for index in (0, 2):
            assert same(lane(maps, index, 3), model(x[index : index + 1])[0])
        carried, _ = model(x, state)
        assert same(lane(maps, 1, 3), lane(carried, 1, 3))
        assert not same(lane(maps, 1, 3), model(x[1:2])[0])


@every_memory
def test_padding_frames_do_not_count(memory):
    model, x = build(memory), frames(1, 6)
    with torch.no_grad():
        whole, _ = model(x)
        _, state = model(
            torch.cat([x[:, :3], frames(1, 2, seed=5)], 1),
            valid=torch.tensor([[True] * 3 + [False] * 2]),
        )
        maps, _ = model(x[:, 3:], state)
    assert same(maps, [m[3:] for m in whole])


def test_without_carry_only_the_differences_reach_back():
    model, x = build(MemoryConfig(hidden=4, differences=(1, 2), carry=False)), frames(1, 5)
    assert model.context_frames == 2
    with torch.no_grad():
        maps, _ = model(x)
        changed = x.clone()
        changed[:, 1] = 255 - changed[:, 1]
        other, _ = model(changed)
    reached = [not same([m[t] for m in maps], [m[t] for m in other]) for t in range(5)]
    assert reached == [False, True, True, True, False]


def test_with_carry_everything_reaches_forward_only():
    model, x = build(), frames(1, 5)
    assert model.context_frames is None
    with torch.no_grad():
        maps, _ = model(x)
        changed = x.clone()
        changed[:, 1] = 255 - changed[:, 1]
        other, _ = model(changed)
    reached = [not same([m[t] for m in maps], [m[t] for m in other], 1e-7) for t in range(5)]
    assert reached == [False, True, True, True, True]


def test_zeroed_state_is_the_same_weights_without_carry():
    recurrent = build(MemoryConfig(hidden=4))
    zeroed = build(MemoryConfig(hidden=4, carry=False))
    zeroed.load_state_dict(recurrent.state_dict())
    x = frames(1, 3)
    assert same([m[:1] for m in zeroed(x)[0]], [m[:1] for m in recurrent(x)[0]])
    assert not same(zeroed(x)[0], recurrent(x)[0])


@every_memory
@pytest.mark.parametrize("placement", PARTS)
def test_every_parameter_gets_a_gradient(memory, placement):
    model = RecurrentYOLO(detector(), memory, placement=placement).train()
    randomise(model.memory)
    maps, _ = model(frames())
    sum(m.square().sum() for m in maps).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


def test_the_fresh_projection_alone_learns_first():
    model = RecurrentYOLO(detector(), MemoryConfig(hidden=4)).train()
    maps, _ = model(frames())
    sum(m.square().sum() for m in maps).backward()
    for block in model.memory.values():
        assert block.project.weight.grad.any()
        assert not block.recurrence.layers[0].input_gates[0].weight.grad.any()


@pytest.mark.parametrize("parts", [(), ("backbone",), ("backbone", "neck"), ("head",), PARTS])
def test_freezing_fixes_weights_and_batch_norm(parts):
    model = RecurrentYOLO(detector(), MemoryConfig(hidden=4)).freeze(parts).train()
    randomise(model.memory)
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    sum(m.square().sum() for m in model(frames())[0]).backward()
    optimiser.step()

    def part_of(name):
        if name.startswith("memory"):
            return "memory"
        if name.startswith("detector.backbone"):
            return "backbone"
        return "head" if {"head", "output"} & set(name.split(".")) else "neck"

    after = model.state_dict()
    changed = {part_of(n) for n in after if not torch.equal(after[n], before[n])}
    assert changed == {"memory", *PARTS} - set(parts)
    kept = {part_of(n) for n in after if torch.equal(after[n], before[n])}
    assert kept == set(parts)


def test_hadamard_peepholes_get_their_size_from_the_network():
    memory = MemoryConfig(hidden=4, peepholes="hadamard")
    model = RecurrentYOLO(detector(), memory, network_size=(32, 64))
    assert model(frames())[0][0].shape[-2:] == (4, 8)


def test_bad_input():
    with pytest.raises(UserError, match="placement"):
        RecurrentYOLO(detector(), placement="tail")
    with pytest.raises(UserError, match="levels"):
        RecurrentYOLO(detector(), levels=[3])
    with pytest.raises(UserError, match="differences"):
        MemoryConfig(differences=(0,))
    with pytest.raises(UserError, match="hidden"):
        MemoryConfig(hidden=2.5)
    with pytest.raises(UserError, match="freeze"):
        RecurrentYOLO(detector()).freeze(["body"])
    model = build()
    with pytest.raises(UserError, match="divisible by 32"):
        model(torch.zeros(1, 1, 3, 40, 40))
    _, state = model(frames())
    with pytest.raises(UserError, match="another model"):
        build(levels=[0])(frames(), state)
    with pytest.raises(UserError, match="start the stream"):
        build(placement="head")(frames(), state)
    with pytest.raises(UserError, match="start the stream"):
        model(frames(1), state)
