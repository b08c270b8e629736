"""Optimisers, schedules, the running average of weights, and how a model is laid out for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from stadet.engine.errors import UserError
from stadet.engine.limits import INFINITE, expect_limits

Model = TypeVar("Model", bound=nn.Module)
Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass
class OptimiserConfig:
    """The optimiser.

    Attributes:
        name: the algorithm.
        lr: peak learning rate.
        weight_decay: not applied to biases and normalisation layers.
        momentum: of SGD, or Adam's first beta.
        lr_factors: {prefix of a parameter's name: factor on lr}; the longest prefix wins.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-4
    momentum: float = 0.9
    lr_factors: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        at_least_0 = (0, INFINITE)
        expect_limits(
            self, "loop.optimiser", lr=at_least_0, weight_decay=at_least_0, momentum=(0, 0.9999)
        )


@dataclass
class ScheduleConfig:
    """The learning rate over the run.

    Attributes:
        name: shape after the warm-up.
        warmup: share of the steps in which the rate rises linearly (onecycle: by a cosine).
        final: last rate over peak rate (cosine, onecycle).
        milestones: shares of the run at which step and multistep multiply the rate by gamma (step:
            one share, repeated).
        gamma: that factor; of exponential: the factor over the whole run.
    """

    name: Literal["constant", "cosine", "onecycle", "step", "multistep", "exponential"] = "cosine"
    warmup: float = 0.05
    final: float = 0.01
    milestones: list[float] = field(default_factory=lambda: [0.6, 0.85])
    gamma: float = 0.1

    def __post_init__(self) -> None:
        expect_limits(
            self,
            "loop.schedule",
            warmup=(0, 1),
            final=(0, INFINITE),
            milestones=(1e-6, 1),
            gamma=(0, INFINITE),
        )
        if self.name == "step" and not self.milestones:
            raise UserError("loop.schedule.milestones: expected the share of a step, found none")


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """One parameter group per (learning rate, weight decay). Frozen parameters are left out."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    unused = set(config.lr_factors)
    for name, parameter in model.named_parameters():
        prefixes = [p for p in config.lr_factors if name.startswith(p)]
        unused -= set(prefixes)
        if not parameter.requires_grad:
            continue
        factor = config.lr_factors[max(prefixes, key=len)] if prefixes else 1.0
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((config.lr * factor, decay), []).append(parameter)
    if unused:
        raise UserError(f"optimiser.lr_factors: no parameter's name begins with {sorted(unused)}")
    if not groups:
        raise UserError("every parameter is frozen: nothing to train; free a part of the model")
    params = [
        {"params": members, "lr": lr, "weight_decay": decay}
        for (lr, decay), members in groups.items()
    ]
    if config.name == "sgd":
        return torch.optim.SGD(params, lr=config.lr, momentum=config.momentum, nesterov=True)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(params, lr=config.lr, betas=(config.momentum, 0.999))


def lr_factor(config: ScheduleConfig, step: int, total_steps: int) -> float:
    """Learning rate over its peak at `step` of `total_steps` (0-based)."""
    last = max(total_steps - 1, 1)
    warmup = config.warmup * last
    if step < warmup:
        rise = step / warmup
        if config.name == "onecycle":  # from 1/25 of the peak, along a cosine (Smith & Topin 2018)
            return 0.04 + 0.96 * (1 - math.cos(math.pi * rise)) / 2
        return max(rise, 1 / last)
    done = min(1.0, (step - warmup) / max(last - warmup, 1e-9))
    share = min(1.0, step / last)
    if config.name in ("cosine", "onecycle"):
        return config.final + (1 - config.final) * (1 + math.cos(math.pi * done)) / 2
    if config.name == "exponential":
        return config.gamma**done
    if config.name == "multistep":
        return config.gamma ** sum(share >= m for m in config.milestones)
    if config.name == "step":
        return config.gamma ** int(share / config.milestones[0] + 1e-9)
    return 1.0


def running_average(model: nn.Module, decay: float, ramp_steps: int = 500) -> AveragedModel:
    """Exponential moving average of weights and buffers; `update_parameters(model)` feeds it.

    The decay rises as decay * (1 - exp(-n / ramp_steps)), so that early updates do not cling to
    the initial weights. Integer buffers are copied.
    """

    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        keep = decay * (1 - math.exp(-float(count) / ramp_steps))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - keep)
        else:
            torch._foreach_copy_(averaged, current)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def set_batch_norm(model: nn.Module, mode: Literal["train", "sync", "frozen"]) -> nn.Module:
    """Set how batch norm learns: from each process's batch, from all processes', or not at all.

    `frozen` fixes running statistics only (the affine weights stay trainable) and lasts through
    later calls of `model.train()`.
    """
    if mode == "sync":
        frozen = [path for path, module in model.named_modules() if _is_frozen(module)]
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        for path in frozen:  # the conversion makes new modules
            freeze_batch_norm(model.get_submodule(path))
    if mode == "frozen":
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                freeze_batch_norm(module)
    return model


def channels_last(model: Model) -> Model:
    """Lay the convolutions' weights out with channels fastest, in place, 2D and 3D."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
        elif isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
    return model


def _is_frozen(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and "train" in vars(module)


def freeze(module: nn.Module, *, keep: Sequence[str] = ()) -> list[str]:
    """Fix a module: no gradients, so no weight decay either, and fixed batch-norm statistics.

    It lasts through later calls of `model.train()`. keep: paths below it that keep learning.
    Returns the paths of the frozen parameters.
    """
    frozen = []
    for path, part in module.named_modules():
        if any(path == kept or path.startswith(f"{kept}.") for kept in keep):
            continue
        for name, parameter in part.named_parameters(recurse=False):
            parameter.requires_grad_(False)
            frozen.append(f"{path}.{name}".removeprefix("."))
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            freeze_batch_norm(part)
    return frozen


def freeze_batch_norm(module: nn.Module) -> None:
    """Keep one batch norm on its running statistics whatever mode its parents are put in."""
    module.eval()

    def stay(mode: bool = True) -> nn.Module:
        return module

    module.train = stay  # type: ignore[method-assign, assignment]
