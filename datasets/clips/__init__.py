"""Clips of detection data sets: sampling, augmentation, loading."""
