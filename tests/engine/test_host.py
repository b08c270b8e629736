import os
import signal
import threading
import time
import warnings

import cv2
import numpy as np
import pytest
import torch

from stadet.engine.host import program_lock, unchanged_host


@pytest.mark.parametrize("error", [None, ImportError])
def test_what_an_import_changes_is_as_before(monkeypatch, error):
    monkeypatch.setenv("OWN", "mine")
    monkeypatch.delenv("OTHER", raising=False)
    threads, save, filters = cv2.getNumThreads(), torch.save, list(warnings.filters)
    printing = np.get_printoptions()["linewidth"], torch._tensor_str.PRINT_OPTS.linewidth
    try:
        with unchanged_host(OWN="theirs", OTHER="1"):
            assert (os.environ["OWN"], os.environ["OTHER"]) == ("mine", "1")
            os.environ["OWN"] = os.environ["MORE"] = "changed"
            cv2.setNumThreads(threads + 3)
            torch.save = print
            warnings.filterwarnings("ignore", "anything")
            np.set_printoptions(linewidth=320)
            torch.set_printoptions(linewidth=320)
            if error:
                raise error
    except ImportError:
        pass
    assert os.environ["OWN"] == "mine" and not {"OTHER", "MORE"} & set(os.environ)
    assert (cv2.getNumThreads(), torch.save) == (threads, save)
    assert list(warnings.filters) == filters
    now = np.get_printoptions()["linewidth"], torch._tensor_str.PRINT_OPTS.linewidth
    assert now == printing


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent():
    held = threading.Event()

    def hold():
        with program_lock:
            held.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if program_lock.acquire(timeout=10) else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert program_lock.acquire(timeout=10)
    program_lock.release()
