"""What a scene means: zones and lines of a camera, and rules over what happens in them."""
