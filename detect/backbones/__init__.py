"""Image networks of torchvision and timm, their features and their public weights."""
