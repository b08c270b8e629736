"""Functions behind `stad evaluate`."""
