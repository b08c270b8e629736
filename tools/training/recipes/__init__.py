"""One recipe a model; the table is in `stadet.tools.training.recipe`."""
