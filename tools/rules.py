"""stad rules: a scene file's rules over tubes or over truth; hits, and clips that show them."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import add_overwrite, make_parser
from stadet.tools.tubes import add_truth

if TYPE_CHECKING:
    from stadet.detect.scene.hits import VideoHit
    from stadet.detect.scene.scene import Camera, Scene
    from stadet.detect.structures import AnnotationSet, VideoAnnotations
    from stadet.detect.tubes.tube_set import VideoTubes

SUMMARY = "rules over what happens in zones: hits as csv and JSON Lines, with clips"
EXAMPLES = """\
examples:
  stad rules --scene scene.yaml --tubes tubes.json --data dataset.yaml --out hits/
  stad rules --scene scene.yaml --tubes new/tubes.json --videos new.mp4 --out hits/ --clips
  stad rules --scene scene.yaml --tubes tubes.json --size 720 1280 --out hits/
  stad rules --scene scene.yaml --data dataset.yaml --out hits/    # over the truth's boxes
  stad rules --scene scene.yaml --data dataset.yaml --out hits/ --clips --clip-seconds 3
  stad rules --scene scene.yaml --tubes tubes.json --data dataset.yaml --out hits/ \\
      --webhook https://192.0.2.9/hits
  stad rules --scene scene.yaml --check                            # is the file right?
  stad rules --scene scene.yaml --check --data dataset.yaml        # does it fit these videos?

Writes hits/hits.csv and hits/hits.jsonl (one hit a line: rule, camera, actor, times, score) and,
with --clips, hits/VIDEO-NUMBER.mp4 of every hit. A scene file is explained in docs/rules.md.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("rules", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--scene", required=True, help="a scene file (.yaml): cameras, zones, lines, rules")
    add("--tubes", help="a tube file (.json, from stad tubes); without it the truth's boxes")
    add("--out", help="folder for the hits")
    add_truth(parser)
    add("--videos", help="the footage, a file or a folder: for --clips, and for its size")
    add_size(parser)
    add("--clips", action="store_true", help="a clip of each hit; needs --videos or --data")
    add(
        "--clip-seconds",
        type=float,
        default=2.0,
        help="shown before and after a hit (%(default)s)",
    )
    add("--clock", default="0:00:00", help="time of day when the videos begin, h:mm:ss")
    add("--webhook", metavar="ADDRESS", help="post the hits there, as JSON (docs/rules.md)")
    add(
        "--webhook-folder",
        metavar="FOLDER",
        default="webhook",
        help="hits that have not arrived yet, and dead letters (%(default)s)",
    )
    add(
        "--check",
        action="store_true",
        help="read the scene file, say what is in it, and stop; "
        "with --data or --tubes: does it fit their classes and videos?",
    )
    add_overwrite(parser)
    return parser


def add_size(parser: argparse.ArgumentParser) -> None:
    """--size, for `frame_size`."""
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="pixels of every video's frames, where neither data nor the scene file say it",
    )


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError
    from stadet.engine.files import expect_absent
    from stadet.tools.events import seconds_of_day

    if args.check:
        for line in check_scene(args.scene, args.tubes, args.data, args.ground_truth):
            print(line)
        return
    if args.out is None:
        raise UserError("expected --out, the folder for the hits, or --check")
    files = [Path(args.out) / name for name in ("hits.csv", "hits.jsonl")]
    expect_absent(*files, overwrite=args.overwrite)
    result = apply_rules(
        args.scene,
        args.tubes,
        out=args.out,
        data=args.data,
        ground_truth=args.ground_truth,
        videos=args.videos,
        size=tuple(args.size) if args.size else None,
        clips=args.clips,
        clip_seconds=args.clip_seconds,
        clock=seconds_of_day(args.clock),
        overwrite=args.overwrite,
    )
    print(f"{args.out}: {len(result.hits):,} hits in {result.videos:,} videos")
    for rule in result.scene.rules:
        count = sum(hit.rule == rule.name for _, hit in result.hits)
        print(f"{count:6,} x {rule.name}")
        for line in result.unmet.get(rule.name, []):
            print(f"         {line}")
    if args.webhook is not None:
        send_hits(
            result.hits,
            args.webhook,
            args.webhook_folder,
            secret=os.environ.get("STAD_WEBHOOK_SECRET") or None,
        )
        print(f"{args.webhook}: {len(result.hits):,} hits sent")


def check_scene(
    scene: str | Path,
    tubes: str | Path | None = None,
    data: str | Path | None = None,
    ground_truth: str | Path | AnnotationSet | None = None,
) -> Iterator[str]:
    """What is in a scene file, in lines.

    Args:
        scene: the file.
        tubes, data, ground_truth: as of `apply_rules`; where given, the scene's classes have to be
            theirs, and each of their videos has to have one camera.

    Raises:
        UserError: for files that are wrong or do not fit each other.
    """
    from stadet.detect.scene.file import read_scene
    from stadet.detect.tubes.file import read_tubes
    from stadet.tools.tubes import read_truth

    found = read_scene(scene)
    seen = None if tubes is None else read_tubes(tubes)
    shown: dict[str, list[str]] = {}
    for one in (seen, read_truth(data, ground_truth)):
        if one is None:
            continue
        found.check_classes(one.names)
        for name in one.videos:
            shown.setdefault(found.camera_of(name).name, []).append(name)
    for camera in found.cameras.values():
        rules = [rule.name for rule in found.rules if rule.holds_in(camera)]
        yield (
            f"camera {camera.name}: {len(camera.zones)} zones, {len(camera.lines)} lines; "
            f"rules: {', '.join(rules) or 'none'}"
        )
        if shown:
            names = list(dict.fromkeys(shown.get(camera.name, [])))
            more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
            yield f"  its videos: {', '.join(names[:5]) or 'none'}{more}"
    if found.counts is not None:
        roles = [" ".join(role).strip() for role in found.counts.roles.values()]
        yield f"counts: {', '.join(roles)}; shifts: {', '.join(found.counts.shifts) or 'none'}"


def send_hits(
    hits: Iterable[VideoHit],
    address: str,
    folder: str | Path = "webhook",
    *,
    secret: str | None = None,
    linger: float = 60.0,
) -> None:
    """Post hits to a web address as `stad live` posts its events, and wait until they arrived.

    A hit's `id` is made of its values, so that a receiver knows one that is sent again.

    Args:
        hits: (video, hit), as `apply_rules` gives them.
        address: http or https.
        folder: for hits that have not arrived, and dead letters.
        secret: key of the signature; None sends none.
        linger: seconds to wait for the receiver.

    Raises:
        UserError: for an address or a folder that cannot be used, and for hits that have not
            arrived; they are kept, and sent first when the folder is used again.
    """
    from stadet.detect.scene.hits import hit_values
    from stadet.engine.errors import UserError
    from stadet.engine.folder_lock import folder_lock
    from stadet.tools.streams.webhook import Webhook

    say = functools.partial(print, file=sys.stderr)
    with (
        folder_lock(folder, "sending events"),
        Webhook(address, folder, secret=secret, linger=linger, notify=say) as hook,
    ):
        for video, hit in hits:
            values = {"video": video, **hit_values(hit)}
            digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
            hook.send({"id": digest.hexdigest()[:32], "event": "hit", **values})
    if hook.left or hook.refused:
        raise UserError(
            f"{address}: expected all hits to arrive, found {hook.left:,} that wait in {folder} "
            f"and {hook.refused:,} refused (dead.jsonl there); look at the receiver, then send "
            "them again"
        )


@dataclass(frozen=True, eq=False)
class RuleHits:
    """Hits of a scene's rules.

    Attributes:
        scene: the scene file's content.
        hits: (video, hit) in order of video and time.
        videos: how many videos were looked at.
        clips: files that show the hits, in their order; empty where none were asked for.
        unmet: by name of a rule without hits, how far the boxes came that it looks for, in lines.
    """

    scene: Scene
    hits: list[VideoHit]
    videos: int
    clips: list[Path]
    unmet: dict[str, list[str]]


def apply_rules(
    scene: str | Path | Scene,
    tubes: str | Path | None = None,
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    ground_truth: str | Path | None = None,
    videos: str | Path | None = None,
    size: tuple[int, int] | None = None,
    clips: bool = False,
    clip_seconds: float = 2.0,
    clock: float = 0.0,
    overwrite: bool = False,
) -> RuleHits:
    """Apply the rules of a scene to tubes, or to the truth.

    Args:
        scene: a scene file, or its content.
        tubes: a tube file; None = the truth's tubes, on frames that were looked at.
        out: folder for `hits.csv`, `hits.jsonl` and the clips (None: no files).
        data: data set file of these videos.
        ground_truth: COCO-video JSON of these videos, instead of `data`.
        videos: the footage, a file or a folder of them, where there is no `data`.
        size: (height, width) of every video's frames, where nothing else says it.
        clips: draw a clip of each hit; needs `out`, and `videos` or `data`.
        clip_seconds: shown before and after a hit.
        clock: time of day when the videos begin, in seconds after midnight.
        overwrite: replace the files of an earlier call.

    Raises:
        UserError: for files that cannot be read or do not fit each other, a scene without rules, a
            video without or with several cameras, and rules over unknown classes.
    """
    from stadet.datasets.footage.catalog import VideoCatalog, find_video_paths
    from stadet.detect.scene.file import read_scene
    from stadet.detect.scene.hits import hits_in_tubes, write_hits_csv, write_hits_jsonl
    from stadet.detect.scene.scene import Scene
    from stadet.detect.scene.unmet import condition_counts, why_unmet
    from stadet.detect.tubes.file import read_tubes
    from stadet.detect.tubes.truth import truth_tube_set
    from stadet.engine.errors import UserError
    from stadet.engine.limits import expect_within
    from stadet.engine.progress import progress
    from stadet.tools.tubes import read_truth

    expect_within("--clip-seconds", clip_seconds, 0, 3600)
    if clips and ((data is None and videos is None) or out is None):
        raise UserError(
            "--clips: expected --videos or --data, for the footage, and --out, for the clips"
        )
    footage = None if videos is None else VideoCatalog(find_video_paths(Path(videos)))
    if not isinstance(scene, Scene):
        scene = read_scene(scene)
    if not scene.rules:
        raise UserError(f"{scene.source}: expected rules, found none; docs/rules.md shows some")
    truth = read_truth(data, ground_truth)
    if tubes is not None:
        found = read_tubes(tubes)
    elif truth is not None:
        found = truth_tube_set(truth)
    else:
        raise UserError("expected --tubes, --data or --ground-truth to look at, found none")
    scene.check_classes(found.names)
    cameras = {video.name: scene.camera_of(video.name) for video in found}
    hits: list[VideoHit] = []
    seen: list[tuple[Camera, VideoTubes, tuple[int, int]]] = []
    for video in progress(found, description="rules", unit="video"):
        known = truth.videos.get(video.name) if truth is not None else None
        camera = cameras[video.name]
        shape = (
            frame_size(video.name, camera, known, size)
            if footage is None
            else footage[_name_in(footage, video.name, videos)].size
        )
        looked_at = known.looked_at if known is not None and tubes is None else None
        own = hits_in_tubes(scene, camera, video, found.names, shape, looked_at)
        hits += [(video.name, hit) for hit in own]
        seen.append((camera, video, shape))
    met = {hit.rule for _, hit in hits}
    unmet = {
        rule.name: list(why_unmet(rule, condition_counts(rule, seen, found.names)))
        for rule in scene.rules
        if rule.name not in met
    }
    made: list[Path] = []
    if out is not None:
        if clips:
            made = _clips(Path(out), hits, data, videos, tubes, clip_seconds, overwrite)
        write_hits_csv(Path(out) / "hits.csv", hits, clock)
        write_hits_jsonl(Path(out) / "hits.jsonl", hits)
    return RuleHits(scene, hits, len(found.videos), made, unmet)


def _name_in(footage: Mapping[str, object], video: str, place: str | Path | None) -> str:
    """The name of a video among the footage at `place`."""
    from stadet.datasets.footage.info import find_video
    from stadet.engine.errors import UserError

    found = find_video(video, footage)
    if found is None:
        raise UserError(
            f"{place}: expected footage of the video {video!r}, found "
            f"{', '.join(list(footage)[:5])}"
        )
    return found


def frame_size(
    video: str, camera: Camera, known: VideoAnnotations | None, size: tuple[int, int] | None
) -> tuple[int, int]:
    """(height, width) of a video's frames: of its truth, its camera, or else `size`.

    Raises:
        UserError: where none of them says it.
    """
    from stadet.engine.errors import UserError

    found = known.size if known is not None else camera.size or size
    if found is None:
        raise UserError(
            f"{video}: expected the size of its frames, found none; give --size HEIGHT WIDTH, "
            f"--data, or size: [height, width] of camera {camera.name!r}"
        )
    return found


def _clips(
    folder: Path,
    hits: list[VideoHit],
    data: str | Path | None,
    videos: str | Path | None,
    tubes: str | Path | None,
    around: float,
    overwrite: bool,
) -> list[Path]:
    """A clip of each hit, with the boxes that the rules saw."""
    from stadet.datasets.dataset import load_dataset
    from stadet.datasets.footage.catalog import find_video_paths
    from stadet.engine.files import file_names
    from stadet.tools.inference.render import render

    paths: Mapping[str, Path] = {}
    if videos is not None:
        paths = find_video_paths(Path(videos))
    elif data is not None:
        paths = load_dataset(data).video_paths
    names = list(dict.fromkeys(video for video, _ in hits))
    stems = dict(zip(names, file_names(names), strict=True))
    made = []
    for number, (video, hit) in enumerate(hits, start=1):
        path = folder / f"{stems[video]}-{number:04d}.mp4"
        start = max(0.0, hit.start - around)
        render(
            path,
            video=paths[_name_in(paths, video, videos)],
            tubes=[tubes] if tubes is not None else [],
            data=data,
            start=start,
            seconds=max(hit.stop + around - start, 0.1),
            overwrite=overwrite,
        )
        made.append(path)
    return made


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
