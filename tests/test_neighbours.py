"""A program that uses `stadet` stays as it was: its settings, its streams, its modules, offline."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.tools.small_checkpoints import save_small_checkpoint

KINDS = ("yolo", "recurrent-yolo", "ultralytics")
PROGRAM = """
import json, logging, os, random, signal, socket, sys, threading, warnings
from pathlib import Path

import cv2, matplotlib, numpy as np, scipy.special, torch

matplotlib.use("svg")
cv2.setNumThreads(3)
torch.set_num_threads(2)


def refuse(*args, **kwargs):
    raise OSError("no network in this program")


socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse


def settings():
    return {
        "torch threads": torch.get_num_threads(),
        "torch seed": torch.initial_seed(),
        "torch generator": torch.get_rng_state().sum().item(),
        "torch dtype": str(torch.get_default_dtype()),
        "torch grad": torch.is_grad_enabled(),
        "torch deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch cudnn": [torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic],
        "torch printing": {k: str(v) for k, v in vars(torch._tensor_str.PRINT_OPTS).items()},
        "torch save": torch.save.__module__,
        "numpy generator": int(np.random.get_state()[1].sum()),
        "numpy printing": {k: str(v) for k, v in np.get_printoptions().items()},
        "numpy errors": np.geterr(),
        "python generator": hash(random.getstate()),
        "opencv threads": cv2.getNumThreads(),
        "matplotlib": matplotlib.get_backend(),
        "root log": [[str(h) for h in logging.root.handlers], logging.root.level],
        "disabled log": logging.root.manager.disable,
        "signals": [str(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM)],
        "environment": dict(os.environ),
        "sys.path": sys.path[:],
        "filters": [str(f) for f in warnings.filters],
    }


def use(kind):
    import stadet

    detector = stadet.open_detector(Path(sys.argv[1]) / f"{kind}.pt", "cpu", score_floor=0.0)
    frames = np.zeros((5, 40, 64, 3), np.uint8)
    frames[1:, 10:20, 10:20] = 200
    given = [frames, torch.from_numpy(frames), frames.repeat(2, axis=2)[:, :, ::2]]
    boxes = [[found.boxes for found in detector(given[n], fps=10)] for n in range(3)]
    for other in boxes[1:]:  # a tensor, frames that do not lie in a row
        assert all(np.array_equal(a, b) for a, b in zip(boxes[0], other))
    stream = detector.stream(fps=10)
    assert np.allclose(stream(frames[0]).boxes, boxes[0][0], atol=1e-3)  # alone, not in a batch
    picture = frames[0].copy()
    stadet.draw_detections(picture, next(iter(detector(frames))))


before = settings()
what = sys.argv[2]
if what == "import":
    import stadet

    for name in stadet.__all__:
        getattr(stadet, name)
elif what == "thread":
    failed = []
    threads = [threading.Thread(target=use, args=("yolo",)) for _ in range(2)]
    threading.excepthook = lambda args: failed.append(args.exc_value)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
elif what == "augment":
    from stadet.datasets.clips.augment import AugmentConfig, recolour

    recolour(np.zeros((2, 8, 8, 3), np.uint8), AugmentConfig(colour=1.0), np.random.default_rng(0))
else:
    use(what)
after = settings()
known = after["filters"]
added = [f for f in known if f not in before["filters"]]
after["filters"] = before["filters"]
changed = {k: [before[k], after[k]] for k in before if before[k] != after[k]}
print(json.dumps({"changed": changed, "filters": added}))
"""
# torch and numpy set these for their own warnings; they silence nobody else's
OWN_FILTERS = ("SpecialFunctionWarning", "matrix subclass", "SymPyDeprecationWarning")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("neighbours")
    for kind in KINDS:
        save_small_checkpoint(folder / f"{kind}.pt", kind)
    return folder


def run(*words, cwd=ROOT):
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize("what", ["import", "thread", "augment", *KINDS])
def test_a_programs_settings_are_as_before(checkpoints, what):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(checkpoints), what], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # nothing else is printed
    assert found["changed"] == {}
    assert [f for f in found["filters"] if not any(own in f for own in OWN_FILTERS)] == []
    assert done.stderr == ""


def test_a_program_may_have_modules_of_the_packages_names(checkpoints, tmp_path):
    for name in ("detect", "tools", "engine", "datasets", "configs", "anchors"):
        (tmp_path / f"{name}.py").write_text(f"OWN = {name!r}\n")
    code = (
        "import sys; sys.path.insert(0, ''); import detect, tools\n"
        "import numpy as np, stadet\n"
        f"detector = stadet.open_detector({str(checkpoints / 'yolo.pt')!r}, 'cpu')\n"
        "list(detector(np.zeros((2, 40, 64, 3), np.uint8)))\n"
        "import engine, datasets, configs, anchors\n"
        "found = [m.OWN for m in (detect, tools, engine, datasets, configs, anchors)]\n"
        "assert found == ['detect', 'tools', 'engine', 'datasets', 'configs', 'anchors'], found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


LOADER = '''
import sys
from pathlib import Path

import torch


class Answers(torch.utils.data.Dataset):
    """Asks a detector, opened before or in the worker."""

    def __init__(self, path, early):
        import stadet

        self.path = path
        self.detector = stadet.open_detector(path, "cpu", score_floor=0.0) if early else None

    def __len__(self):
        return 2

    def __getitem__(self, index):
        import numpy as np, stadet

        if self.detector is None:
            self.detector = stadet.open_detector(self.path, "cpu", score_floor=0.0)
        frames = np.full((3, 40, 64, 3), 50 * index, np.uint8)
        return sum(len(found) for found in self.detector(frames))


if __name__ == "__main__":
    torch.set_num_threads(1)
    path, method = sys.argv[1:]
    alone = Answers(path, True)
    expected = [alone[0], alone[1]]
    data = Answers(path, method == "fork")
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=1, multiprocessing_context=method, timeout=120
    )
    found = list(loader)
    assert found == expected and expected[0] > 0, (found, expected)
'''


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_detector_works_in_a_programs_loading_processes(checkpoints, tmp_path, method):
    script = tmp_path / "program.py"
    script.write_text(LOADER)
    done = subprocess.run(
        [sys.executable, str(script), str(checkpoints / "yolo.pt"), method],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
