import os

import pytest

from stadet.engine.errors import UserError
from stadet.tools.cluster.sources import expect_unchanged, fetch, list_sources

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def bucket(fleet):
    """The videos as objects, below a prefix, among other things."""
    system = fsspec.filesystem("memory")
    for path in sorted(fleet.videos.rglob("*.mp4")):
        name = path.relative_to(fleet.videos).as_posix()
        system.pipe_file(f"/cams/day/{name}", path.read_bytes())
    system.pipe_file("/cams/day/notes.txt", b"no video")
    system.pipe_file("/cams/texts/notes.txt", b"no video")
    system.pipe_file("/cams/day/.hidden/v.mp4", b"no video")
    yield system
    system.rm("/cams", recursive=True)


@pytest.mark.parametrize("prefix", ["memory://cams/day", "memory://cams/day/"])
def test_objects_below_a_prefix_have_the_names_of_files_below_a_folder(fleet, bucket, prefix):
    there, here = list_sources([prefix]), list_sources([str(fleet.videos)])
    assert [source.name for source in there] == [source.name for source in here]
    assert [source.name for source in here] == ["a", "b", "in/c"]
    assert [source.size for source in there] == [source.size for source in here]


def test_one_object_and_one_file(fleet, bucket):
    (there,) = list_sources(["memory://cams/day/in/c.mp4"])
    (here,) = list_sources([f"file://{fleet.videos}/in/c.mp4"])
    assert there.name == here.name == "c"
    assert here.place == str(fleet.videos / "in/c.mp4")


def test_nothing_and_two_of_one_name_are_refused(fleet, bucket):
    with pytest.raises(UserError, match=r"cams/night: there is nothing"):
        list_sources(["memory://cams/night"])
    with pytest.raises(UserError, match="expected video files, found none"):
        list_sources(["memory://cams/texts"])
    with pytest.raises(UserError, match="two videos are named 'a'"):
        list_sources([str(fleet.videos), "memory://cams/day/a.mp4"])


def test_an_object_is_copied_and_a_file_is_used_where_it_is(fleet, bucket, tmp_path):
    there, here = list_sources(["memory://cams/day"])[2], list_sources([str(fleet.videos)])[2]
    assert fetch(here, tmp_path) == fleet.videos / "in/c.mp4"
    copy = fetch(there, tmp_path)
    assert copy.parent == tmp_path
    assert copy.read_bytes() == (fleet.videos / "in/c.mp4").read_bytes()
    expect_unchanged(there)
    expect_unchanged(here)


def test_what_vanishes_or_changes_is_told(bucket, tmp_path):
    (gone, shorter, *_) = list_sources(["memory://cams/day"])
    bucket.rm("/cams/day/a.mp4")
    with pytest.raises(UserError, match=r"a\.mp4: there is nothing of that name"):
        fetch(gone, tmp_path)
    bucket.pipe_file("/cams/day/b.mp4", b"other")
    with pytest.raises(UserError, match="changed while it was read"):
        fetch(shorter, tmp_path)

    path = tmp_path / "v.mp4"
    path.write_bytes(b"123")
    (source,) = list_sources([str(path)])
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match="changed while it was read"):
        expect_unchanged(source)
    path.unlink()
    with pytest.raises(UserError, match="nothing of that name"):
        expect_unchanged(source)
    with pytest.raises(UserError, match="need a folder that all share"):
        fetch(source, tmp_path)
