"""COCO files of other layouts as COCO-video: images without videos (COCO, as CVAT and Roboflow
export it), TAO's `frame_index`, and YouTube-VIS (boxes of a track in one annotation)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.frame_names import expect_frames, first_number, frame_place
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import shown


def as_coco_video(
    content: dict[str, Any],
    path: Path,
    videos: Mapping[str, VideoInfo] | None,
    first_frame: int | None,
    findings: Findings,
) -> dict[str, Any]:
    """`content` with `videos`, and `images` with `video_id` and `frame_id`; not checked otherwise.

    Frames of images without videos are told by their file names (`frame_place`); numbers count from
    first_frame, by default from that of a frame folder's first image, else from 0. UserError where
    no image is of the footage, and for frames that it does not have.
    """
    images: Any = content.get("images")
    if images is None and _are_records(content.get("videos")):
        return _from_youtube_vis(content, path)
    if not _are_records(images):
        return content  # the reader says what is wrong
    if "videos" not in content:
        return _from_names(content, path, videos, first_frame, findings)
    if any("frame_id" not in image and "frame_index" in image for image in images):  # TAO
        images = [{"frame_id": image.get("frame_index"), **image} for image in images]
        return {**content, "images": images}
    return content


def _from_names(
    content: dict[str, Any],
    path: Path,
    videos: Mapping[str, VideoInfo] | None,
    first_frame: int | None,
    findings: Findings,
) -> dict[str, Any]:
    if videos is None:
        raise UserError(
            f"{path}: expected the key 'videos', found images alone; give the footage (--videos), "
            "whose videos the images' file names tell"
        )
    kept: list[dict[str, Any]] = []
    numbers: dict[str, list[int]] = {}
    for image in content["images"]:
        name = str(image.get("file_name", "")).replace("\\", "/")
        place = frame_place(name.rpartition(".")[0] or name, videos)
        if place is None:
            what = "images of no video of the footage left out"
            findings.note(path, what, first=shown(name))
            continue
        numbers.setdefault(place[0], []).append(place[1])
        kept.append({**image, "video_id": place[0], "frame_id": place[1]})
    if not kept:
        first = shown(content["images"][0].get("file_name")) if content["images"] else "no image"
        raise UserError(
            f"{path}: expected file names such as <video>/000012.jpg or <video>_000012.jpg of the "
            f"videos {', '.join(sorted(videos)[:8])}, found {first}"
        )
    for name, found in numbers.items():
        expect_frames(path, videos[name], found, first_number(videos[name], first_frame))
    for image in kept:
        image["frame_id"] -= first_number(videos[image["video_id"]], first_frame)
    known = {image.get("id") for image in kept}
    rows: Any = content.get("annotations")
    if _are_records(rows):
        rows = [row for row in rows if row.get("image_id") in known]
    sizes = {image["video_id"]: image for image in kept}
    records = [
        {"id": name, "name": name, "width": image.get("width"), "height": image.get("height")}
        for name, image in sizes.items()
    ]
    kept_kinds = _without_headings(content.get("categories"), rows)
    return {
        **content,
        "videos": records,
        "images": kept,
        "annotations": rows,
        "categories": kept_kinds,
    }


def _without_headings(categories: Any, rows: Any) -> Any:
    """Categories without those that only name a group of others, as Roboflow writes one."""
    if not (_are_records(categories) and _are_records(rows)):
        return categories
    groups = {  # COCO's own files name some categories as their own group
        str(category.get("supercategory"))
        for category in categories
        if category.get("supercategory") != category.get("name")
    }
    used = {row.get("category_id") for row in rows}
    return [c for c in categories if c.get("id") in used or str(c.get("name")) not in groups]


def _from_youtube_vis(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Frames are numbered as their file names, from that of the first."""
    images, videos = [], []
    for video in content["videos"]:
        files = video.get("file_names")
        if not (isinstance(files, list) and files and all(isinstance(f, str) for f in files)):
            raise UserError(
                f"{path}: expected a list of objects under 'images', or videos with file_names"
            )
        folder = PurePosixPath(files[0]).parent.as_posix()
        name = video.get("name", folder)
        videos.append({key: v for key, v in video.items() if key != "length"} | {"name": name})
        for place, file in enumerate(files):
            found = frame_place(PurePosixPath(file).stem, {name: None})
            number = found[1] if found else place
            key = video.get("id")
            images.append({"id": f"{key}:{place}", "video_id": key, "frame_id": number})
    rows = [
        {
            "id": f"{row.get('id')}:{place}",
            "image_id": f"{row.get('video_id')}:{place}",
            "category_id": row.get("category_id"),
            "track_id": row.get("id"),
            "bbox": bbox,
            "iscrowd": row.get("iscrowd", 0),
        }
        for row in content.get("annotations") or []
        for place, bbox in enumerate(row.get("bboxes") or [])
        if bbox is not None
    ]
    return {**content, "videos": videos, "images": images, "annotations": rows}


def _are_records(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(record, dict) for record in value)
