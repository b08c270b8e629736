"""An exported classifier as every clip classifier is called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.runtime.onnx_export import LOGITS
from stadet.detect.runtime.sessions import OPEN, Session, run_in_batches
from stadet.engine.errors import UserError


class SessionClassifier(ClipClassifier):
    """A classifier whose arithmetic a session does.

    inputs: what it takes, in order. It has no features, so nothing can be explained of it.
    """

    def __init__(self, session: Session, inputs: Sequence[str], clip_length: int) -> None:
        super().__init__()
        self.session, self.inputs, self.clip_length = session, tuple(inputs), clip_length

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs as exported, any number of clips, to logits (B, outputs).

        UserError for clips of another length or size than the exported ones.
        """
        feeds: dict[str, np.ndarray] = {}
        for name, given in zip(self.inputs, inputs, strict=True):
            _, wanted = self.session.inputs[name]
            found = tuple(given.shape)
            if len(found) != len(wanted) or any(
                side not in (OPEN, own) for own, side in zip(found[1:], wanted[1:], strict=True)
            ):
                raise UserError(
                    f"expected {name} of {wanted[1:]} a clip, as exported, found {found[1:]}; "
                    "export the checkpoint again for that length and size"
                )
            feeds[name] = given.cpu().numpy()
        (logits,) = run_in_batches(self.session, feeds, (LOGITS,))
        return torch.from_numpy(logits)
