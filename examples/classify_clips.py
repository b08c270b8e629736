"""Classify videos and arrays, and find out when what happens in a long video.

python examples/classify_clips.py runs/handwash/best.pt clips/
"""

import sys

import numpy as np

import stadet


def main(checkpoint: str, videos: str, seconds: float = 3.0) -> stadet.Answers:
    classifier = stadet.open_classifier(checkpoint)
    answers = classifier(videos)
    none = classifier.rejection.rejects(answers)
    for video, name, score, rejected in zip(
        answers.videos, answers.predicted_names, answers.confidence, none, strict=True
    ):
        print(f"{video}: {'none of these' if rejected else name} ({score:.2f})")

    noise = np.random.default_rng(0).integers(0, 255, (60, 120, 160, 3), dtype=np.uint8)
    array = stadet.Video.from_array(noise, fps=25, name="noise")
    print(classifier(array))

    timeline = classifier.watch(array, window_seconds=seconds / 4, stride_seconds=seconds / 8)
    for start, stop, row in zip(
        timeline.starts, timeline.stops, timeline.probabilities, strict=True
    ):
        print(f"{start:6.2f} - {stop:6.2f} s: {timeline.names[row.argmax()]} {row.max():.2f}")
    return answers


if __name__ == "__main__":
    main(*sys.argv[1:])
