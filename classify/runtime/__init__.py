"""Other ways to run a trained clip classifier: compiled, ONNX Runtime, OpenVINO."""
