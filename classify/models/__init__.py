"""Clip classifiers, one model family a file."""
