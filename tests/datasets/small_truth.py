"""Small annotation sets for the tests of clips and samplers."""

from __future__ import annotations

import numpy as np

from stadet.detect.structures import AnnotationSet, VideoAnnotations

NAMES = ("left", "right", "wave")
SIZE = (120, 200)
BOX = (60.0, 30.0, 110.0, 70.0)


def video(name, looked_at, classes, size=SIZE, box=BOX):
    """A video with one box on each frame of `classes` {frame: class}."""
    frames = sorted(classes)
    labels = np.zeros((len(frames), len(NAMES)), dtype=bool)
    labels[np.arange(len(frames)), [classes[frame] for frame in frames]] = True
    boxes = np.tile(box, (len(frames), 1))
    return VideoAnnotations.build(name, size, 25.0, np.array(looked_at), frames, boxes, labels)


def annotation_set(*videos):
    return AnnotationSet(NAMES, {v.name: v for v in videos})


def random_set(seed, most_videos=4, most_frames=30):
    """Videos with random looked-at frames, about half of them with a box; at least one box."""
    rng = np.random.default_rng(seed)
    videos = []
    for number in range(rng.integers(1, most_videos + 1)):
        looked_at = rng.random(rng.integers(1, most_frames + 1)) < 0.7
        if number == 0:
            looked_at[0] = True
        chosen = [f for f in np.flatnonzero(looked_at).tolist() if rng.random() < 0.5]
        if number == 0 and 0 not in chosen:
            chosen.insert(0, 0)
        # class 0 is common, class 2 rare
        classes = {f: int(rng.choice(3, p=[0.7, 0.2, 0.1])) for f in chosen}
        videos.append(video(f"v{number}", looked_at, classes))
    return annotation_set(*videos)
