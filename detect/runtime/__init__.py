"""Other ways to run a trained detector: folded and compiled, ONNX Runtime, OpenVINO."""
