"""LRCN (Donahue et al., arXiv 1411.4389), in the form of the action-recognition report."""

from __future__ import annotations

from stadet.classify.models.cnn_lstm import Readout, RecurrentClassifier
from stadet.classify.models.image_backbone import ImageBackbone


def lrcn(
    num_classes: int,
    *,
    backbone: str = "resnet152",
    trainable: bool = False,
    embedding: int = 512,
    hidden: int = 256,
    layers: int = 2,
    bidirectional: bool = False,
    readout: Readout = "last",
    clip_length: int = 5,
) -> RecurrentClassifier:
    """Image features, an LSTM, a linear layer, over five uniform frames (224 x 224 in the report).

    The backbone's last layer is a trained linear embedding; there is nothing between it and the
    LSTM.
    """
    return RecurrentClassifier(
        num_classes,
        ImageBackbone(backbone, trainable=trainable),
        embedding=embedding,
        hidden=hidden,
        layers=layers,
        bidirectional=bidirectional,
        activation=False,
        readout=readout,
        clip_length=clip_length,
    )
