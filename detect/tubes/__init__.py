"""Action tubes: linking, files, events."""
