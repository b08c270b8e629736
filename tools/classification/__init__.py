"""What the classifier verbs are made of."""
