"""Functions behind `stad train`."""
