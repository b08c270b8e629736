"""Damaged, mirrored and odd video files: random access equals a pass, or one line."""

import io
from fractions import Fraction

import av
import numpy as np
import PIL.Image
import pytest

from stadet.datasets.footage.catalog import find_video_paths
from stadet.datasets.footage.decode import Upright, upright
from stadet.datasets.footage.index import clean_frames, load_or_build_index
from stadet.datasets.footage.video import open_video
from stadet.engine.errors import UserError
from tests.datasets.numbered_videos import write_numbered
from tests.fuzz.footage import small_videos


def test_a_damaged_key_frame_is_no_place_to_begin(tmp_path):
    content = bytearray(small_videos()["b.mkv"])
    path = tmp_path / "v.mkv"
    path.write_bytes(content)
    sound = load_or_build_index(path, tmp_path)
    keys = np.flatnonzero(sound.key_frames).tolist()
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.is_keyframe and p.size]
        hurt = bytes(packets[2])
    place = bytes(content).index(hurt[20:]) - 20
    content[place + len(hurt) // 2 : place + len(hurt) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    index = load_or_build_index(path, tmp_path)
    assert keys[2] not in np.flatnonzero(index.key_frames) and not index.clean[keys[2]]
    video = open_video(path, index_dir=tmp_path)
    frames = [frame.copy() for _, frame in video.frames()]
    for number in (*range(keys[2], len(frames)), *reversed(range(len(frames)))):
        np.testing.assert_array_equal(video.frame(number), frames[number])
        fresh = open_video(path, index_dir=tmp_path)
        np.testing.assert_array_equal(fresh.frame(number), frames[number])


def test_what_lies_behind_damage_is_clean_from_a_later_key_frame_on():
    keys = np.zeros(80, bool)
    keys[[0, 20, 25, 60]] = True
    clean = clean_frames(keys, [22])
    assert clean[:22].all() and not clean[22:60].any() and clean[60:].all()  # 25 may be decoded
    assert not clean_frames(keys, [70])[70:].any()
    assert clean_frames(keys, []).all()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["-display_hflip"], lambda image: image[:, ::-1]),
        (["-display_vflip"], lambda image: image[::-1]),
        (["-display_rotation", "90"], lambda image: np.rot90(image, 1)),
        (["-display_rotation", "180"], lambda image: np.rot90(image, 2)),
        (["-display_rotation", "-90"], lambda image: np.rot90(image, -1)),
    ],
)
def test_display_matrices_as_ffmpeg_writes_them(tmp_path, options, wanted):
    import shutil
    import subprocess

    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program")
    (tmp_path / "a.mp4").write_bytes(small_videos()["a.mp4"])
    command = [program, "-v", "error", *options, "-i", "a.mp4", "-c", "copy", "b.mp4"]
    subprocess.run(command, cwd=tmp_path, check=True)
    plain = open_video(tmp_path / "a.mp4", index_dir=tmp_path).frame(3)
    turned = open_video(tmp_path / "b.mp4", index_dir=tmp_path)
    np.testing.assert_array_equal(turned.frame(3), wanted(plain))
    assert turned.size == turned.frame(3).shape[:2]


def test_motion_jpeg_with_exif_data_is_read(tmp_path):
    """PyAV 18.1 refuses a frame's side data where FFmpeg hands the pictures' Exif on."""
    picture = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).repeat(8, 0).repeat(8, 1)
    image, exif = PIL.Image.fromarray(picture.astype(np.uint8)), PIL.Image.Exif()
    exif[271] = "a camera's maker"
    written = io.BytesIO()
    image.save(written, "jpeg", quality=95, exif=exif)
    path = tmp_path / "camera.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(3):
            packet = av.Packet(written.getvalue())
            packet.stream, packet.pts, packet.dts = stream, index, index
            packet.time_base = Fraction(1, 25)
            output.mux(packet)
    video = open_video(path, index_dir=tmp_path)
    assert len(video) == 3 and video.size == (48, 64)
    assert np.abs(video.frame(2).astype(int) - picture).mean() < 20


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turn_is_the_same_without_side_data(tmp_path, degrees):
    path = write_numbered(tmp_path / "a.mp4", count=2, rotation=degrees)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))

    class Unreadable:
        rotation = frame.rotation

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")

    assert upright(Unreadable(), path) == upright(frame, path)


def test_mirrors_and_turns_by_their_matrix():
    """A pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift."""
    image = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    for flags in np.ndindex(2, 2, 2):
        transpose, mirror_x, mirror_y = map(bool, flags)
        shown = Upright(transpose, mirror_x, mirror_y).apply(image)
        sx, sy = -1 if mirror_x else 1, -1 if mirror_y else 1
        a, b, c, d = (0, sy, sx, 0) if transpose else (sx, 0, 0, sy)
        places = {(a * x + c * y, b * x + d * y): image[y, x] for y in range(2) for x in range(3)}
        left, top = (min(p[i] for p in places) for i in (0, 1))
        for (x, y), pixel in places.items():
            np.testing.assert_array_equal(shown[y - top, x - left], pixel)


def test_tags_that_are_not_utf_8(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "XXXX"
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    content = path.read_bytes()
    assert b"XXXX" in content
    path.write_bytes(content.replace(b"XXXX", b"X\xff\xfeX"))
    assert len(open_video(path, index_dir=tmp_path)) == 3


def test_a_codec_that_nothing_decodes(tmp_path):
    content = small_videos()["a.mp4"]
    (tmp_path / "a.mp4").write_bytes(content.replace(b"avc1", b"zzz1"))
    with pytest.raises(UserError, match="codec that this FFmpeg cannot decode"):
        open_video(tmp_path / "a.mp4", index_dir=tmp_path)


def test_a_thumbnail_beside_a_video_is_no_frame_folder(tmp_path):
    folder = tmp_path / "monday"
    (folder / "evening").mkdir(parents=True)
    for name in ("base.mp4", "thumb_0001.jpg", "evening/late.mp4", "evening/cover_1.png"):
        (folder / name).write_bytes(b"")
    assert list(find_video_paths(tmp_path)) == ["monday/base", "monday/evening/late"]
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "0001.jpg").write_bytes(b"")
    assert "frames" in find_video_paths(tmp_path)


def test_a_link_that_leads_back_up_is_followed_once(tmp_path):
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "a.mp4").write_bytes(b"")
    (tmp_path / "day" / "again").symlink_to(tmp_path)
    assert list(find_video_paths(tmp_path)) == ["day/a"]
