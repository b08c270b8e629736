"""Run a detector over a video, print what it finds and write a boxed video.

python examples/detect_video.py runs/yolov3/best.pt kitchen.mp4 boxed.mp4
"""

import sys

import stadet


def main(checkpoint: str, source: str, out: str) -> None:
    detector = stadet.open_detector(checkpoint)
    threshold = detector.threshold or 0.3  # best F1 on the validation side of the training
    video = stadet.open_video(source)
    with stadet.VideoWriter(out, video.size, video.rate) as writer:
        # frames are decoded twice, so that neither pass holds more than a few of them
        for found, (_, image) in zip(detector(source), video.frames(), strict=True):
            found = found.above(threshold)
            for name, score, box in zip(found.top_name, found.top_score, found.boxes, strict=True):
                print(f"{found.seconds:8.2f} s  {name} {score:.2f}  {box.round(1).tolist()}")
            stadet.draw_detections(image, found)
            writer.write(image)


if __name__ == "__main__":
    main(*sys.argv[1:])
