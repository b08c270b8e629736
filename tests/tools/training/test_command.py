import pytest
import torch

from stadet.tools.training.command import leave_cores_to_loaders


@pytest.mark.parametrize(
    ("threads", "workers", "left"),
    [(4, 0, 4), (4, 2, 4), (4, 6, 2), (4, 9, 1), (1, 0, 1)],
)
def test_loaders_get_cores_and_nobody_gets_more_threads(monkeypatch, threads, workers, left):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        leave_cores_to_loaders(torch.device("cuda"), workers)
        assert torch.get_num_threads() == threads
        leave_cores_to_loaders(torch.device("cpu"), workers)
        assert torch.get_num_threads() == left
    finally:
        torch.set_num_threads(before)
