"""The ground floor: errors, safe files, configuration, training loop, checkpoints, distribution.

Depends on torch only and knows no model and no data set, so every other package may import it.
"""
