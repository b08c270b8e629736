"""Detection metrics by named protocol: frame-mAP, video-mAP, AVA mAP, COCO."""
