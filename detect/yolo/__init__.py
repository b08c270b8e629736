"""YOLOv3: network, loss, assignment and weights."""
