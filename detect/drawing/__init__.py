"""Boxes and labels drawn on frames."""
