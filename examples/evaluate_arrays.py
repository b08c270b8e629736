"""frame-mAP of detections that are arrays, of whatever program made them.

python examples/evaluate_arrays.py
"""

import numpy as np

import stadet

NAMES = ("wipe", "phone")


def main() -> stadet.FrameMAPResult:
    metric = stadet.FrameMAP(NAMES)
    rng = np.random.default_rng(0)
    for frame in range(50):
        boxes = rng.uniform(0, 200, (3, 2)).repeat(2, axis=1)[:, [0, 2, 1, 3]] + [0, 0, 40, 60]
        labels = np.array([[True, False], [False, True], [True, True]])  # the last does both
        truth = stadet.FrameAnnotations(boxes, labels, np.arange(3))
        # a detector that is some pixels off, and surer of the first class
        found = stadet.Detections(
            boxes=boxes + rng.normal(0, 4, boxes.shape),
            objectness=np.ones(3),
            scores=labels * rng.uniform([0.5, 0.2], [1.0, 0.7], (3, 2)),
        )
        metric.update("camera", frame, truth, found)
    result = metric.compute([0.5, 0.75])
    for iou in (0.5, 0.75):
        print(f"frame-mAP@{iou}: {result.mean_at(iou):.3f}")
        for name, ap in zip(result.names, result.at(iou), strict=True):
            print(f"  {name}: {ap:.3f}")
    return result


if __name__ == "__main__":
    main()
