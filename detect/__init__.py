"""Detection: the toolkit's nouns, boxes, YOLOv3, losses, metrics, tubes, rendering and reports."""
