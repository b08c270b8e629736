"""Recurrent YOLO: YOLOv3 with convolutional LSTMs, streamed by a hybrid clip-shuffle sampler."""
