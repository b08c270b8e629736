"""Command line: one verb a file, where data meets models."""
