"""Detections files: reading, writing, columns."""
