"""One body and a head for each of two data sets (action-recognition report)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from stadet.classify.models.classifier import ClipClassifier


class MultiHead(nn.Module):
    """Classifiers of several data sets that share everything but their heads.

    build(num_classes) -> a `ClipClassifier`; num_classes: one a data set. `forward(..., head=k)`
    gives the logits of data set k; `branch(k)` is a complete classifier of it.
    """

    def __init__(self, build: Callable[[int], ClipClassifier], num_classes: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(build(count) for count in num_classes)
        first = self.branches[0]
        self.inputs, self.num_heads = first.inputs, len(num_classes)
        for other in list(self.branches)[1:]:
            _share(first, other, other.head_keys)

    def branch(self, head: int) -> ClipClassifier:
        return self.branches[head]

    def forward(self, *inputs: Tensor, head: int = 0) -> Tensor:
        """Inputs of one data set's batch to its logits (B, num_classes[head])."""
        return self.branches[head](*inputs)


def _share(source: nn.Module, target: nn.Module, own: Sequence[str], prefix: str = "") -> None:
    """Put the source's parts in the place of the target's, except those named in `own`.

    own: prefixes of names of tensors, as `ClipClassifier.head_keys`.
    """

    def keeps(name: str) -> bool:
        return any(name.startswith(p) or p.startswith(name) for p in own)

    for name, child in list(target.named_children()):
        path = f"{prefix}{name}."
        if not keeps(path):
            setattr(target, name, getattr(source, name))
        elif not any(path.startswith(p) for p in own):
            _share(getattr(source, name), child, own, path)
    for kind in ("_parameters", "_buffers"):
        for name in getattr(target, kind):
            if not any((prefix + name).startswith(p) for p in own):
                getattr(target, kind)[name] = getattr(source, kind)[name]
