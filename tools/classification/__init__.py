"""Functions behind the classifier verbs."""
