"""The live page as a browser and a player read it."""

import json
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from stadet.datasets.live.reader import StreamReader
from stadet.datasets.live.source import parse_source
from stadet.engine.errors import UserError
from stadet.tools.streams.page import LivePage
from tests.datasets.numbered_videos import number_of, numbered_frame

NAME = 'front <"door">'


@pytest.fixture
def page():
    with LivePage([NAME, "b"], port=0) as found:
        yield found


def read(page, path=""):
    with urlopen(page.address + path, timeout=10) as answer:
        return answer.read().decode()


def test_names_are_escaped(page):
    shown = read(page)
    assert "front &lt;&quot;door&quot;&gt;" in shown and NAME not in shown
    assert "stream/front%20%3C%22door%22%3E" in shown
    assert "http://" not in shown and "https://" not in shown


def test_a_name_that_leads_here_is_no_proof(page):
    """Another site's page may reach this address by a name of its own, and read what it gets."""
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{page.address}status.json", headers={"Host": "evil.example"}), timeout=10)
    assert caught.value.code == 403


def test_status(page):
    page.show("b", numbered_frame(0), {"line": "12 fps", "fps": 12.0})
    assert json.loads(read(page, "status.json"))["b"] == {"line": "12 fps", "fps": 12.0}
    assert read(page, "health") == "ok"


def test_a_viewer_gets_the_newest_pictures(page):
    stop = threading.Event()

    def film():
        number = 0
        while not stop.wait(0.02):
            page.show("b", numbered_frame(number), {})
            number += 1

    camera = threading.Thread(target=film)
    camera.start()
    try:
        with StreamReader(parse_source(page.address + "stream/b"), every_frame=True) as viewer:
            numbers = [number_of(viewer.next_frame(timeout=20).image) for _ in range(10)]
            assert page.watched("b") and not page.watched(NAME)
    finally:
        stop.set()
        camera.join()
    assert numbers == sorted(set(numbers))


def test_nobody_watches_nothing_is_encoded(page, monkeypatch):
    page.show("b", numbered_frame(0), {})  # the first is kept for whoever comes

    import cv2

    monkeypatch.setattr(cv2, "imencode", None)
    page.show("b", numbered_frame(1), {"line": "later"})
    assert json.loads(read(page, "status.json"))["b"]["line"] == "later"


@pytest.mark.parametrize("path", ["stream/none", "../etc/passwd", "stream/../page.py", "x"])
def test_other_addresses_are_not_found(page, path):
    with pytest.raises(HTTPError) as caught:
        read(page, path)
    assert caught.value.code == 404


def test_a_taken_port_is_one_line(page):
    port = int(page.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(UserError, match="--serve: expected a free port"):
        LivePage(["a"], port)
    with pytest.raises(UserError, match="--serve"):
        LivePage(["a"], 99999)
