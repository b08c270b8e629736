"""Which arithmetic a run computes in: what is asked for, or what the machine is fast at."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Literal

import torch
from torch import nn

from stadet.engine import distributed

Precision = Literal["auto", "fp32", "bf16", "fp16"]
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
REPEATS = 3


def choose_precision(asked: Precision, device: torch.device) -> tuple[Precision, str | None]:
    """The precision of a run on `device`, and a sentence where the user should know.

    "auto" is bf16 where its convolutions are faster than float32's: on GPUs from Ampere on and on
    CPUs with AMX or AVX-512 BF16. On others they are emulated, several times slower. The processes
    of a group choose the same.
    """
    if asked not in ("auto", "bf16") or (asked == "bf16" and device.type != "cpu"):
        return asked, None
    if device.type == "cuda":
        slower = 0.5 if torch.cuda.is_bf16_supported(including_emulation=False) else 2.0
        told = ""
    else:
        slower = bf16_time()
        told = f": bf16 convolutions take {slower:.1f} times as long as float32 ones here"
    slow = distributed.any_process(slower >= 1)
    if asked == "bf16":
        hint = f"loop.precision bf16{told}; loop.precision=auto takes the faster one"
        return asked, hint if slow else None
    return ("fp32", f"loop.precision fp32{told}") if slow else ("bf16", None)


@lru_cache(maxsize=1)
def bf16_time() -> float:
    """Time of a convolution in bf16 on this CPU, as a multiple of its time in float32.

    Measured (a few hundredths of a second), since no public function of torch tells.
    """
    layer = nn.Conv2d(32, 32, 3, padding=1)
    x = torch.zeros(16, 32, 32, 32).to(memory_format=torch.channels_last)
    times = {}
    for half in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            layer(x)
            taken = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                layer(x)
                taken.append(time.perf_counter() - started)
        times[half] = min(taken)
    return times[True] / times[False]
