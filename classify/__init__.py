"""Clip classification: one model family a file."""
