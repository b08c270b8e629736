"""The program that this package runs in keeps its settings when other packages are imported."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

program_lock = threading.RLock()  # held while settings of the whole program are others for a while
# a forked child must not wait for ever for a thread that it does not have
os.register_at_fork(
    before=program_lock.acquire,
    after_in_parent=program_lock.release,
    after_in_child=program_lock.release,
)


def import_albumentations() -> Any:
    """The package albumentations, late (2.6 s), without asking the network for a newer one."""
    with unchanged_host(NO_ALBUMENTATIONS_UPDATE="1"):
        import albumentations

    return albumentations


@contextlib.contextmanager
def unchanged_host(**environment: str) -> Iterator[None]:
    """For importing a package that changes the program around it: afterwards all is as before.

    All is environment variables, filters of warnings, how numpy and torch print, `torch.save`,
    and the threads of OpenCV.

    environment: variables for the block's time, where the program has not set them itself.
    """
    with program_lock:
        before = dict(os.environ)
        printing, tensors = np.get_printoptions(), dict(vars(torch._tensor_str.PRINT_OPTS))
        save = torch.save
        cv2 = sys.modules.get("cv2")
        threads = cv2.getNumThreads() if cv2 is not None else None
        os.environ.update(environment | before)
        try:
            with warnings.catch_warnings():
                yield
        finally:
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            os.environ.update(before)
            np.set_printoptions(**printing)
            torch.set_printoptions(**tensors)
            torch.save = save
            if cv2 is not None and cv2.getNumThreads() != threads:
                cv2.setNumThreads(threads)
