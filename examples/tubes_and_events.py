"""From detections on frames to actions through time: tubes, then a log of events.

python examples/tubes_and_events.py runs/recurrent/best.pt kitchen.mp4
"""

import sys

import stadet


def main(checkpoint: str, source: str, threshold: float = 0.2) -> list[stadet.Event]:
    detector = stadet.open_detector(checkpoint)
    detections = stadet.collect_detections(detector(source, threshold=threshold), detector.names)
    tubes = stadet.link_tubes(detections, options=stadet.LinkOptions(min_length=2))
    events = stadet.find_events(tubes, stadet.EventOptions(min_score=threshold))
    for event in events:
        print(
            f"{event.video}: {tubes.names[event.label]} from {event.start:.2f} to {event.stop:.2f} "
            f"s, score {event.score:.2f}, around {event.box.round().tolist()}"
        )
    return events


if __name__ == "__main__":
    main(*sys.argv[1:])
