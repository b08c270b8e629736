"""No verb replaces what is there unless --overwrite says so: the same rule in all of them."""

import pytest

from stadet.tools.cli import main


@pytest.fixture(scope="module")
def files(footage, trained, tmp_path_factory):
    """What the verbs read: detections and tubes of one video."""
    folder = tmp_path_factory.mktemp("read")
    detections, tubes = folder / "d.jsonl", folder / "t.json"
    start = ["predict", str(footage.video), "--checkpoint", str(trained / "best.pt")]
    assert main([*start, "--out", str(detections), "--for-evaluation", "--max-frames", "20"]) == 0
    assert main(["tubes", "--detections", str(detections), "--out", str(tubes)]) == 0
    return detections, tubes


@pytest.mark.parametrize(
    ("verb", "arguments", "written"),
    [
        ("predict", "{video} --checkpoint {best} --max-frames 2 --out {out}/d.jsonl", "d.jsonl"),
        ("tubes", "--detections {detections} --out {out}/t.json", "t.json"),
        ("events", "--tubes {tubes} --out {out} --no-plot", "counts.csv"),
        ("render", "--video {video} --tubes {tubes} --seconds 0.3 --out {out}/o.mp4", "o.mp4"),
        ("describe", "--data {data} --out {out} --samples 0", "describe.json"),
        ("kmeans-anchors", "--data {data} --size 64 96 --out {out}/a.yaml", "a.yaml"),
        (
            "evaluate",
            "--data {data} --detections {detections} --bootstrap 0 --gallery 0 --out {out}",
            "metrics.json",
        ),
        ("compare", "{report} {report} --bootstrap 0 --out {out}", "compare.md"),
        ("convert", "--data {data} --to coco-video --out {out}/c.json", "c.json"),
        (
            "explain",
            "{video} --checkpoint {best} --frame 3 --out {out}",
            "counter00_front-grad-cam.png",
        ),
    ],
)
def test_a_second_run_replaces_nothing(
    verb, arguments, written, files, footage, trained, tmp_path, capsys
):
    detections, tubes = files
    places = {
        "video": footage.video,
        "best": trained / "best.pt",
        "detections": detections,
        "tubes": tubes,
        "data": footage.dataset,
        "report": trained / "report",
        "out": tmp_path,
    }
    command = [verb, *arguments.format(**places).split()]
    assert main(command) == 0, capsys.readouterr().err
    (tmp_path / written).write_text("mine")
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "--overwrite to replace it" in said and said.count("\n") == 1
    assert (tmp_path / written).read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert (tmp_path / written).read_bytes() != b"mine"
