"""Functions behind the verbs on data sets."""
