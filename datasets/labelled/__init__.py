"""Videos with one class each, for clip classifiers."""
