"""From clips to answers, from answers to figures and rejections."""

import json

import numpy as np
import pytest
import torch
from sklearn import metrics

from stadet.classify.answers import Answers, average_clips, classify
from stadet.classify.figures import (
    accuracy_interval,
    class_recalls,
    confusion,
    figures,
    score,
    top_k,
)
from stadet.classify.rejection import Rejection, learn_rejection
from stadet.classify.report import NONE, write_report
from stadet.detect.classification_batch import UNKNOWN, LabelledClip, collate_labelled
from tests.classify.fake_models import FixedLogits, clip_of_logits

NAMES = ("a", "b", "c")


def random_answers(count=60, classes=7, seed=0, unknown=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), size=count)
    labels = rng.integers(0, classes, size=count)
    labels[:unknown] = UNKNOWN
    names = tuple(f"class {c}" for c in range(classes))
    videos = tuple(f"v{i:03d}" for i in range(count))
    known = np.where(labels == UNKNOWN, rng.random(count) * 0.6, 0.4 + rng.random(count) * 0.6)
    return Answers(names, videos, labels, probabilities, known)


def batches(clips, size=2):
    for start in range(0, len(clips), size):
        yield collate_labelled(clips[start : start + size])


def labelled(video, logits, label=0, valid=True):
    return LabelledClip({"frames": clip_of_logits(logits)}, label, video, valid)


def test_probabilities_of_a_videos_clips_are_averaged():
    rows = [("y", [2.0, 0.0, 0.0]), ("x", [1.0, 1.0, 0.0]), ("y", [0.0, 3.0, 0.0])]
    clips = [labelled(v, row, label=1) for v, row in rows] + [labelled("z", [0, 0, 0], valid=False)]
    found = classify(FixedLogits(3), batches(clips), NAMES, torch.device("cpu"))
    assert found.videos == ("x", "y") and found.labels.tolist() == [1, 1]
    soft = [torch.tensor(row).softmax(0).numpy() for _, row in rows]
    np.testing.assert_allclose(found.probabilities[1], (soft[0] + soft[2]) / 2, rtol=1e-6)
    assert np.isnan(found.known).all()


def test_the_binary_head_is_the_last_output():
    clips = [labelled("x", [1.0, 0.0, 2.0])]
    found = classify(FixedLogits(3), batches(clips), NAMES[:2], torch.device("cpu"), rejects=True)
    assert found.probabilities.shape == (1, 2)
    assert found.known[0] == pytest.approx(torch.tensor(2.0).sigmoid().item(), rel=1e-6)


def test_no_clip_at_all():
    found = average_clips([], NAMES)
    assert len(found) == 0 and np.isnan(score(found)["top1"])
    assert figures(found)["top1"] is None


def test_scores_agree_with_scikit_learn():
    found = random_answers()
    numbers = score(found)
    labels, order = found.labels, np.arange(7)
    assert numbers["top1"] == pytest.approx(metrics.accuracy_score(labels, found.predicted))
    assert numbers["mean_class"] == pytest.approx(
        metrics.balanced_accuracy_score(labels, found.predicted)
    )
    for k in (1, 3, 5):
        expected = metrics.top_k_accuracy_score(labels, found.probabilities, k=k, labels=order)
        assert top_k(found, k) == pytest.approx(expected)
    assert numbers["loss"] == pytest.approx(
        metrics.log_loss(labels, found.probabilities, labels=order)
    )


def test_the_table_of_classes_agrees_with_scikit_learn():
    found = random_answers()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        found.labels, found.predicted, labels=np.arange(7), zero_division=0
    )
    rows = list(figures(found)["per_class"].values())
    assert [row["videos"] for row in rows] == support.tolist()
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        np.testing.assert_allclose([row[name] or 0 for row in rows], expected)


def test_classes_without_videos_have_no_recall():
    found = random_answers()[np.array([True] * 3 + [False] * 57)]
    recalls = class_recalls(found)
    present = np.isin(np.arange(7), found.labels)
    assert np.isfinite(recalls[present]).all() and np.isnan(recalls[~present]).all()
    assert confusion(found).sum() == 3
    per_class = figures(found)["per_class"]
    assert [row["recall"] is None for row in per_class.values()] == (~present).tolist()


def test_videos_of_no_class_count_nowhere_but_in_rejection():
    mixed = random_answers(unknown=20)
    shown = mixed[mixed.labels != UNKNOWN]
    assert score(mixed) == score(shown)
    found = figures(mixed, Rejection(known=0.5))["rejection"]
    assert found["unknown_videos"] == 20
    assert found["unknown_rejected"] == pytest.approx((mixed.known[:20] < 0.5).mean())


def test_wilsons_interval():
    low, high = accuracy_interval(84, 100)
    assert (low, high) == pytest.approx((0.7558, 0.8990), abs=1e-3)
    assert accuracy_interval(0, 0) is None


def test_a_confidence_that_most_right_answers_reach():
    found = random_answers(400)
    learnt = learn_rejection(found)
    right = found.predicted == found.labels
    assert (found.confidence[right] >= learnt.confidence).mean() == pytest.approx(0.95, abs=0.02)
    assert learnt.known is None
    wrong = found[~right]
    assert learn_rejection(wrong) == Rejection()


def test_the_binary_threshold_has_the_best_balance():
    mixed = random_answers(200, unknown=80)
    learnt = learn_rejection(mixed)
    shown = mixed.labels != UNKNOWN

    def balance(threshold):
        kept = mixed.known >= threshold
        return kept[shown].mean() + (~kept[~shown]).mean()

    assert balance(learnt.known) == pytest.approx(
        max(balance(t) for t in np.linspace(0, 1, 2001)), abs=1e-9
    )
    assert learnt.confidence == 0


def test_the_report_and_its_files(tmp_path):
    mixed = random_answers(40, unknown=5)
    events = [{"event": "train", "step": s, "epoch": 0, "lr": 1, "class": 1 / s} for s in (1, 2)]
    events += [{"event": "validation", "step": s, "top1": 0.1 * s, "loss": 1.0} for s in (1, 2)]
    page = write_report(
        tmp_path,
        mixed,
        title="<run>",
        rejection=Rejection(known=0.5),
        facts=[("Model", "fake & small")],
        notes=["careful"],
        events=events,
    )
    text = page.read_text()
    assert "&lt;run&gt;" in text and "fake &amp; small" in text and "careful" in text
    assert "background" not in text.split("</style>")[1]
    assert text.count("<svg") == 3  # training loss, validation loss, top-1
    numbers = json.loads((tmp_path / "metrics.json").read_text())
    assert np.array(numbers["confusion"]).sum() == 35
    rows = (tmp_path / "predictions.csv").read_text().splitlines()
    assert len(rows) == 41 and rows[0].startswith("video,truth,predicted,probability,known,class 0")
    assert sum(f",{NONE}," in row for row in rows) == (mixed.known < 0.5).sum()


def test_answers_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="expected probabilities"):
        Answers(NAMES, ("x",), np.zeros(1), np.zeros((1, 2)), np.zeros(1))
