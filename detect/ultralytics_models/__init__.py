"""ultralytics' detection networks (v3 to 26) as detectors of this toolkit, with their own loss."""
