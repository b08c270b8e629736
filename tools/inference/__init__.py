"""Detectors opened from files and run over videos."""
