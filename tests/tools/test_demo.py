import json

import pytest

from stadet.datasets.footage.video import open_video
from stadet.tools.cli import main


@pytest.mark.slow
def test_the_demo_ends_with_a_comparison_and_a_video_of_both_models(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--minutes", "1", "--steps", "2"]) == 0
    said = capsys.readouterr().out
    runs = json.loads((out / "comparison" / "compare.json").read_text())["runs"]
    assert set(runs) == {"frame", "recurrent"}
    assert "direction accuracy" in (out / "comparison" / "compare.md").read_text()
    video = open_video(out / "boxed.mp4")
    assert video.size == (256, 2 * 448) and len(video) == 450
    assert str(out / "boxed.mp4") in said and str(out / "comparison" / "compare.html") in said
    assert main(["demo", "--out", str(out)]) != 0
    assert "expected a new folder" in capsys.readouterr().err
