"""Configurations of models and of the field's data sets, as YAML files."""
