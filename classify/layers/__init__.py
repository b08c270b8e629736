"""Layers that several clip classifiers share."""
