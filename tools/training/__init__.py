"""What `stad train` is made of."""
