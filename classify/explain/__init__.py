"""What a model saw: Grad-CAM, guided backpropagation, activation maps."""
