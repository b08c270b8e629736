import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

from stadet.detect.metrics.evaluation import IN_SAMPLE, Thresholds, evaluate
from stadet.detect.report.build import write_report
from stadet.detect.report.comparison import compare, read_run, write_comparison
from stadet.detect.report.figures import figures, plain, read_figures
from stadet.detect.report.gallery import choose_frames
from stadet.detect.report.svg import Chart, round_ticks
from stadet.engine.errors import UserError
from tests.detect.metrics.generated import random_problem

DESIGN_KEYS = {
    "frame_map_50",
    "precision",
    "recall",
    "threshold",
    "per_class",
    "video_map",
    "events",
    "localization_recall",
    "classification_accuracy",
    "protocol",
}


def report(folder, seed=0, options=None, **more):
    annotations, detections = random_problem(seed, videos=12, **(options or {}))
    evaluation = evaluate(annotations, detections, min_clips=1, replicates=50, **more)

    def frame_of(video, frame):
        return np.full((200, 200, 3), 90, dtype=np.uint8)

    events = [{"event": "train", "step": s, "lr": 1.0, "box": 9.0 - s} for s in range(3)]
    write_report(
        folder, evaluation, annotations, detections, events=events, frame_of=frame_of, gallery=2
    )
    return evaluation


class Checker(HTMLParser):
    """Every element is closed, nothing is fetched."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self):
        super().__init__()
        self.open, self.images = [], 0

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href"):
                assert value.startswith(("data:", "#")), value
        self.images += tag == "img"
        assert tag != "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("protocol", ["voc", "yowo", "coco"])
def test_a_whole_report(tmp_path, protocol):
    reverses = {"c0": "c1", "c1": "c0"}
    evaluation = report(tmp_path, protocol=protocol, reverses=reverses, with_video_map=True)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics) >= DESIGN_KEYS
    assert metrics["protocol"] == protocol
    assert metrics["frame_map_50"] == evaluation.frame_map.mean_at(0.5)
    assert set(metrics["video_map"]) == {"0.1", "0.2", "0.5", "0.75", "0.5:0.95"}
    assert set(metrics["per_class"]["c0"]) >= {"ap_50", "precision", "recall", "ground_truths"}
    assert metrics["threshold_source"] == IN_SAMPLE
    page = (tmp_path / "report.html").read_text()
    checker = Checker()
    checker.feed(page)
    assert not checker.open and checker.images
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.S):
        ElementTree.fromstring(svg)
    markdown = (tmp_path / "report.md").read_text()
    assert f"{100 * metrics['frame_map_50']:.1f}" in markdown
    assert evaluation.protocol.describe() in markdown and evaluation.protocol.describe() in page


@pytest.mark.parametrize(
    "options", [{"truths": 0}, {"detections": 0}, {"truths": 0, "detections": 0}]
)
def test_nothing_to_show_is_no_error(tmp_path, options):
    report(tmp_path, options=options)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["frame_map_50"] == (0.0 if options == {"detections": 0} else None)
    Checker().feed((tmp_path / "report.html").read_text())


def test_given_thresholds_are_applied_and_named():
    annotations, detections = random_problem(0)
    given = Thresholds(0.7, np.array([0.1, np.nan, 0.2, 0.3]), "from the other side")
    result = figures(evaluate(annotations, detections, thresholds=given, replicates=0))
    assert result["threshold"] == 0.7 and result["threshold_source"] == "from the other side"
    expected = sum(int((v.scores >= 0.7).sum()) for v in detections)
    assert sum(row["detections"] for row in result["per_class"].values()) == expected
    assert result["frame_map_50_interval"] is None


def test_gallery_frames_by_hand():
    annotations, detections = random_problem(3, videos=6, frames=4)
    evaluation = evaluate(annotations, detections, replicates=0)
    worst, best = choose_frames(evaluation, 4, gap=0)
    errors = [f.missed + f.false for f in worst]
    assert errors[0] == max(errors) and len({(f.video, f.frame) for f in worst}) == len(worst)
    assert all(f.missed == f.false == 0 and f.found for f in best)
    for frame in worst:
        truth = annotations.videos[frame.video][frame.frame]
        assert frame.found + frame.missed == truth.labels.sum()


def test_compare(tmp_path):
    report(tmp_path / "a" / "report")
    report(tmp_path / "b" / "report")
    report(tmp_path / "other", seed=1)
    report(tmp_path / "coco" / "report", protocol="coco")
    runs = [read_run(tmp_path / name) for name in ("a", "b", "other", "coco")]
    comparison = compare(runs, 50)
    assert comparison.differences[0].mean.value == 0
    assert comparison.differences[1:] == [None, None]
    assert "same truth" in comparison.warnings[0] and "protocols" in comparison.warnings[1]
    write_comparison(tmp_path / "out", comparison)
    checker = Checker()
    checker.feed((tmp_path / "out" / "compare.html").read_text())
    assert not checker.open
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert written["differences"][0]["frame_map_50_interval"] == [0, 0]
    assert "+0.0 (+0.0 to +0.0)" in (tmp_path / "out" / "compare.md").read_text()
    assert [run.name for run in compare([runs[0], runs[0]], 0).runs] == ["a", "a #2"]
    with pytest.raises(UserError, match="run stad evaluate first"):
        read_run(tmp_path)


def test_compare_shows_direction_where_it_was_scored(tmp_path):
    spans = {f"video {v}": [(0, 5)] for v in range(12)}
    report(tmp_path / "a", reverses={"c0": "c1", "c2": "c3"}, spans=spans)
    report(tmp_path / "b")
    write_comparison(
        tmp_path / "out", compare([read_run(tmp_path / "a"), read_run(tmp_path / "b")], 0)
    )
    direction = read_figures(tmp_path / "a" / "metrics.json")["direction"]
    everywhere = [pair["accuracy"] for pair in direction["everywhere"]]
    text = (tmp_path / "out" / "compare.md").read_text()
    expected = f"{100 * np.mean(everywhere):.1f}"
    assert f"| direction accuracy of reversed pairs (50 = chance) | {expected} | – |" in text
    assert "where the hand rests" in text
    assert "motionless frames alone" in (tmp_path / "a" / "report.md").read_text()


def test_bad_metrics_files(tmp_path):
    for text, message in (("{", "found broken JSON"), ("[]", "found other JSON")):
        (tmp_path / "m.json").write_text(text)
        with pytest.raises(UserError, match=message):
            read_figures(tmp_path / "m.json")
    with pytest.raises(UserError, match="found none"):
        read_figures(tmp_path / "none.json")


def test_plain_numbers():
    value = {1: np.float64("nan"), "a": (np.int64(3), np.array([0.5, np.inf]))}
    assert plain(value) == {"1": None, "a": [3, [0.5, None]]}


def test_round_ticks_and_broken_lines():
    assert [words for _, words in round_ticks((0, 1))] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert all(0 <= value <= 7312 for value, _ in round_ticks((0, 7312)))
    chart = Chart((0, 2), (0, 1))
    chart.line([0, 1, 2], [0, np.nan, 1], "line")
    path = ElementTree.fromstring(chart.render("a <chart>")).findall("path")[-1].get("d")
    assert path.count("M") == 2 and "nan" not in path
