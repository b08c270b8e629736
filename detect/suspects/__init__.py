"""Truth that may be wrong: boxes and tracks that detections or their own motion contradict."""
