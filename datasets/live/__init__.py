"""Streams as they come: cameras, network streams and pipes, with the time of every frame."""
