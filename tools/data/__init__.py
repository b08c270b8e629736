"""What the verbs on data sets are made of."""
