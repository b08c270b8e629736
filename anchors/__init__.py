"""Anchor priors: k-means under IoU, the `Anchors` type and the published presets."""
