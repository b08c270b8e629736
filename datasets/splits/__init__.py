"""Training, validation and test sides."""
