import pytest

from stadet.datasets.live.source import SourceKind, parse_source, parse_sources
from stadet.engine.errors import UserError


@pytest.mark.parametrize(
    ("text", "kind", "address", "name"),
    [
        ("0", SourceKind.CAMERA, "0", "camera0"),
        ("camera:12", SourceKind.CAMERA, "12", "camera12"),
        (
            "rtsp://cook:secret@192.0.2.7:8554/counter/front",
            SourceKind.RTSP,
            "rtsp://cook:secret@192.0.2.7:8554/counter/front",
            "192.0.2.7_8554_counter_front",
        ),
        ("https://a.test/x.m3u8?key=1", SourceKind.HTTP, "https://a.test/x.m3u8?key=1", None),
        ("-", SourceKind.PIPE, "-", "pipe"),
    ],
)
def test_kinds(text, kind, address, name):
    source = parse_source(text)
    assert (source.kind, source.address) == (kind, address)
    assert source.name == (name or "a.test_x.m3u8")
    assert "secret" not in source.name and "secret" not in source.shown


def test_a_file(tmp_path):
    path = tmp_path / "monday.mp4"
    path.write_bytes(b"x")
    assert parse_source(str(path)).name == "monday"
    assert parse_source(str(path)).kind is SourceKind.FILE


def test_a_file_named_like_a_number_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").write_bytes(b"x")
    assert parse_source("0").kind is SourceKind.FILE


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("camera:front", "camera's number"),
        ("camera:-1", "camera's number"),
        ("ftp://host/x.mp4", "expected one of rtsp://"),
        ("rtsp:///stream", "expected a host"),
        ("http://host:99999/x", "not a valid address"),
        ("nothing.mp4", "found nothing there"),
        ("٣", "found nothing there"),
    ],
)
def test_bad_sources_are_one_line(text, line):
    with pytest.raises(UserError, match=line) as caught:
        parse_source(text)
    assert "\n" not in str(caught.value)


def test_names_stay_apart():
    names = [s.name for s in parse_sources(["http://a.test/b", "http://a.test//b", "1"])]
    assert names == ["a.test_b", "a.test_b_2", "camera1"]
    with pytest.raises(UserError, match="named twice"):
        parse_sources(["0", "camera:0"])
