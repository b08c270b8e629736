"""Explanations: Grad-CAM, guided backpropagation, activation maps."""
