"""Hand detections to supervision and pandas, and take them back.

pip install supervision pandas
python examples/with_supervision.py runs/yolov3/best.pt kitchen.mp4
"""

import sys

import numpy as np
import pandas as pd
import supervision as sv

import stadet


def main(checkpoint: str, source: str) -> pd.DataFrame:
    detector = stadet.open_detector(checkpoint)
    video = stadet.open_video(source)
    height, width = video.size
    left_half = sv.PolygonZone(
        np.array([[0, 0], [width // 2, 0], [width // 2, height], [0, height]]),
        triggering_anchors=[sv.Position.CENTER],
    )
    tables = []
    for found in detector(video):
        theirs = found.to_supervision()  # a row a box; with multi_label=True a row a class of it
        theirs = theirs[left_half.trigger(theirs)]
        ours = stadet.Detections.from_supervision(theirs, detector.names)
        tables.append(ours.to_pandas().assign(frame=found.frame, seconds=found.seconds))
    table = pd.concat(tables, ignore_index=True)
    print(table.groupby("class_name")["score"].describe())
    return table


if __name__ == "__main__":
    main(*sys.argv[1:])
