"""Videos: files and frame folders, their frames by index, and the frame cache."""
