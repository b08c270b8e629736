"""Clips that run backwards in training."""

from __future__ import annotations

from stadet.tools.training.command import say
from stadet.tools.training.data import Footage


def reverse_share(key: str, wanted: float, footage: Footage) -> float:
    """The share `wanted` of clips that run backwards, 0 where the data set file does not say what
    their labels then are (a line tells so). key: of the configuration, for that line."""
    if wanted and not footage.dataset.reverses:
        say(
            f"{key}={wanted:g}: no clip runs backwards, since {footage.dataset.path} does not say "
            "under reverses which classes are each other's reversal",
            warning=True,
        )
        return 0.0
    return wanted
