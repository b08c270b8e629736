"""The layers of a model by name, and what flows through one of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from stadet.engine.errors import UserError, neighbours


def layer_names(model: nn.Module) -> list[str]:
    """Names of the modules that can be asked for, from the input on."""
    containers = (nn.ModuleList, nn.ModuleDict)
    return [n for n, module in model.named_modules() if n and not isinstance(module, containers)]


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """A module by its dotted name. UserError with the nearest names for an unknown one."""
    known = layer_names(model)
    if name not in known:
        raise UserError(f"no layer {name!r} in {type(model).__name__}{neighbours(name, known)}")
    return model.get_submodule(name)


@dataclass
class Recorded:
    """maps: the layer's last output, (N, C, h, w) or (B, C, t, h, w)."""

    maps: Tensor | None = None

    def checked(self, name: str) -> Tensor:
        """`maps`; UserError where the layer did not run or gives no maps."""
        if not isinstance(self.maps, Tensor) or self.maps.ndim not in (4, 5):
            found = tuple(self.maps.shape) if isinstance(self.maps, Tensor) else type(self.maps)
            raise UserError(
                f"layer {name}: expected maps (N, C, h, w) or (N, C, t, h, w), found {found}; take "
                "a convolutional layer"
            )
        return self.maps


@contextlib.contextmanager
def record(layer: nn.Module) -> Iterator[Recorded]:
    """Keep what `layer` gives while the block runs.

    The next layer gets a copy: an in-place activation would otherwise change the recorded output.
    """
    recorded = Recorded()

    def keep(_module: nn.Module, _inputs: object, output: object) -> object:
        recorded.maps = output
        return output.clone() if isinstance(output, Tensor) else output

    handle = layer.register_forward_hook(keep)
    try:
        yield recorded
    finally:
        handle.remove()
