"""YOWO (arXiv 1911.06644): a 2D and a 3D branch fused by channel attention."""
