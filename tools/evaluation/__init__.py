"""What `stad evaluate` is made of."""
