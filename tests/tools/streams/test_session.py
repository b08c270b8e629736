"""Sessions on scripted frames: rates, restarts, events, and the same answers as on a file."""

from dataclasses import replace

import numpy as np
import pytest

from stadet.classify.answers import Answers
from stadet.classify.rejection import Rejection
from stadet.datasets.labelled.clip_sampling import SamplingConfig
from stadet.datasets.live.reader import LiveFrame
from stadet.detect.drawing.render import text_height
from stadet.detect.drawing.text_patch import text_patch
from stadet.detect.scene.hits import hit_values, hits_in_tubes
from stadet.detect.scene.rules import RuleEngine
from stadet.detect.scene.scene import Camera, Condition, Rule, Scene
from stadet.detect.structures import Detections, Tube
from stadet.detect.tubes.tube_set import VideoTubes
from stadet.tools.streams.events import ClassRuns
from stadet.tools.streams.overlay import BAR, GREEN
from stadet.tools.streams.session import ClassifierSession, DetectorSession

NAMES = ("take", "put")


class ScriptedDetector:
    """Gives a box of class 0 at the brightest pixel, with the brightness as its score."""

    names = NAMES

    def __init__(self):
        self.seen, self.resets = [], 0

    def stream(self, name):
        return self

    def reset(self):
        self.resets += 1

    def __call__(self, image, *, seconds):
        self.seen.append(seconds)
        y, x = np.unravel_index(image[..., 0].argmax(), image.shape[:2])
        boxes = np.array([[x - 4.0, y - 4.0, x + 4.0, y + 4.0]])
        return Detections(boxes, np.ones(1), np.array([[image.max() / 255, 0.0]]))


def frame(number, fps=10.0, *, bright=255, starts=None, offset=0.0):
    image = np.zeros((48, 64, 3), np.uint8)
    image[20, 20 + number % 3] = bright
    starts = number == 0 if starts is None else starts
    return LiveFrame(image, offset + number / fps, 0.0, number, starts)


def session(**options):
    detector = ScriptedDetector()
    options = {"threshold": 0.5, "fps": None, **options}
    return DetectorSession(detector, **options), detector


def events_of(answers):
    return [event for answer in answers if answer is not None for event in answer.events]


def test_an_action_is_told_when_it_has_lasted_and_when_it_has_ended():
    live, _ = session(min_seconds=0.2)
    answers = [live(frame(n, bright=255 if 3 <= n < 8 else 10)) for n in range(20)]
    (began, at, values), (ended, _, last) = events_of(answers)
    assert (began, ended) == ("began", "ended")
    assert at == pytest.approx(0.5) and values["start"] == pytest.approx(0.3)
    assert values["class"] == "take" and values["tube"] == last["tube"]
    assert last["end"] == pytest.approx(0.7)
    happening = [answer.happening for answer in answers]
    assert happening[5] and not happening[2] and not happening[19]


def test_what_is_going_on_at_the_end_is_ended():
    live, _ = session()
    for n in range(6):
        live(frame(n))
    ((what, _, values),) = live.finish(0.6)
    assert what == "ended" and values["end"] == pytest.approx(0.5)
    assert live.finish(0.7) == []


def test_a_new_connection_forgets_and_ids_go_on():
    live, detector = session()
    first = events_of([live(frame(n)) for n in range(6)])
    again = events_of([live(frame(n, starts=n == 0, offset=9.0)) for n in range(6)])
    assert [what for what, *_ in first + again] == ["began", "ended", "began"]
    assert again[-1][2]["tube"] == first[0][2]["tube"] + 1
    assert detector.resets == 2


@pytest.mark.parametrize(("source", "wanted"), [(30.0, 10.0), (29.97, 15.0), (10.0, 10.0)])
def test_frames_come_at_the_models_rate(source, wanted):
    live, detector = session(fps=wanted)
    answers = [live(frame(n, source)) for n in range(90)]
    seen = np.array(detector.seen)
    assert len(seen) == sum(answer is not None for answer in answers)
    np.testing.assert_allclose(np.diff(seen).mean(), 1 / wanted, rtol=0.02)
    assert np.diff(seen).max() < 1.6 / wanted


def test_the_picture_is_a_copy():
    live, _ = session()
    given = frame(0)
    before = given.image.copy()
    answer = live(given)
    assert (given.image == before).all() and (answer.image != before).any()


class ScriptedClassifier:
    """Answers class 0 for dark clips and class 1 for bright ones, unsure in between."""

    rejection = Rejection(confidence=0.8)

    class file:
        names = NAMES

        class config:
            sampling = SamplingConfig(policy="uniform-frames", frames=4)

            class input:
                size, resize = (16, 24), "stretch"

    def __init__(self):
        self.clips = []

    def answer_clips(self, clips):
        self.clips.append(clips[0])
        bright = float(clips[0].mean()) / 255
        probabilities = np.array([[1 - bright, bright]])
        return Answers(NAMES, ("clip",), np.array([-1]), probabilities, np.array([1.0]))


def gesture(number, level, *, fps=10.0, starts=False):
    image = np.full((48, 64, 3), level, np.uint8)
    return LiveFrame(image, number / fps, 0.0, number, starts)


def test_a_classifier_answers_every_stride_once_the_window_is_full():
    classifier = ScriptedClassifier()
    live = ClassifierSession(classifier, fps=None, window_seconds=1.0, stride_seconds=0.5)
    answers = [live(gesture(n, 250, starts=n == 0)) for n in range(31)]
    # first at .9 s, then each .5 s up to 3.0
    assert len(classifier.clips) == 5
    assert all(clip.shape == (4, 16, 24, 3) for clip in classifier.clips)
    events = events_of(answers)
    assert [(what, values["class"]) for what, _, values in events] == [("began", "put")]
    assert all(answer.image.shape[0] > 48 for answer in answers)


@pytest.mark.parametrize("level", [0, 255])
def test_every_class_is_evidence_to_record_also_the_first(level):
    live = ClassifierSession(ScriptedClassifier(), fps=None, window_seconds=0.5, stride_seconds=0.5)
    answers = [live(gesture(n, level, starts=n == 0)) for n in range(12)]
    assert [answer.happening for answer in answers] == [False] * 5 + [True] * 7


def test_a_classifiers_picture():
    """The sampled area in green where the answer is sure, its name in green, all bars below."""
    live = ClassifierSession(
        ScriptedClassifier(), fps=None, window_seconds=0.5, stride_seconds=0.5, area=(0, 0, 0.5, 1)
    )
    before, *_, after = [live(gesture(n, 255, starts=n == 0)).image for n in range(12)]
    assert before.shape == after.shape and after.shape[1] == 320  # five times as large
    green, bars = ((after == np.array(colour)).all(-1) for colour in (GREEN, BAR))
    assert green[0, :160].all() and green[:240, 0].all() and not green[0, 200]  # the area
    assert green[240:].sum() > 10 and not (before[240:] == np.array(GREEN)).all(-1).any()
    assert bars[240:].sum(1).max() > 150  # "put" 100 %
    assert (after[240:].reshape(-1, 3).max(0) > 0).all()
    line = text_patch("Ag", text_height((240, 320)), GREEN, (0, 0, 0)).shape[0]
    assert not after[-line:].any()  # free for the line of figures


def test_the_delay_of_a_switch_is_within_window_and_patience():
    classifier = ScriptedClassifier()
    live = ClassifierSession(classifier, fps=None, window_seconds=1.0, stride_seconds=0.2)
    answers = [live(gesture(n, 5 if n < 30 else 250, starts=n == 0)) for n in range(60)]
    events = events_of(answers)
    told = [(what, values["class"], at) for what, at, values in events]
    assert [(what, name) for what, name, _ in told] == [
        ("began", "take"),
        ("ended", "take"),
        ("began", "put"),
    ]
    assert 3.0 < told[-1][2] < 3.0 + 1.0 + 2 * 0.2 + 0.11


def test_only_the_area_is_classified():
    classifier = ScriptedClassifier()
    live = ClassifierSession(
        classifier, fps=None, window_seconds=0.5, stride_seconds=0.5, area=(0.5, 0.0, 1.0, 1.0)
    )
    for n in range(8):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:, 32:] = 200
        live(LiveFrame(image, n / 10, 0.0, n, n == 0))
    assert (classifier.clips[0] == 200).all()


def test_class_runs():
    runs = ClassRuns(NAMES, patience=2)
    labels = [0, 0, None, 0, 1, 1, None, None]
    told = [
        (what, values["class"], n)
        for n, label in enumerate(labels)
        for what, values in runs.update(float(n), label)
    ]
    assert told == [
        ("began", "take", 1),
        ("ended", "take", 5),
        ("began", "put", 5),
        ("ended", "put", 7),
    ]
    assert runs.finish(9.0) == []


def test_rules_hit_live_as_over_the_tubes_of_the_file():
    """A hand in the zone from 0.3 s to 0.7 s: begun once it has been 0.2 s."""
    whole = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    camera = Camera("counter", ("*",), None, {"bin": whole})
    rule = Rule("hand", "dwell", when=Condition(("take",), "bin"), seconds=0.2, grace=0.1)
    scene = Scene("scene.yaml", {"counter": camera}, (rule,))
    live, _ = session(rules=RuleEngine(scene, camera), min_seconds=10.0)
    answers = [live(frame(n, bright=255 if 3 <= n < 8 else 10)) for n in range(20)]
    (began, at, values), (ended, over, last) = events_of(answers)
    assert (began, at) == ("began", pytest.approx(0.5))
    assert (ended, over) == ("ended", pytest.approx(0.9))
    assert (values["rule"], values["start"], values["met"]) == ("hand", 0.3, 0.5)
    assert (last["start"], last["stop"], last["met"], last["actor"]) == (0.3, 0.7, 0.5, 0)
    box = (np.array([[16.0, 16.0, 24.0, 24.0]])).repeat(5, axis=0)
    tubes = VideoTubes("v", [Tube(3, box, 0, 1.0)], 10.0, 20)
    (hit,) = hits_in_tubes(scene, camera, tubes, NAMES, (48, 64))
    wanted = hit_values(hit)
    wanted["met"] = wanted.pop("at")
    assert wanted == last
    fresh, _ = session(rules=RuleEngine(scene, camera), min_seconds=10.0)
    for n in range(6):
        fresh(frame(n))
    assert [what for what, *_ in fresh.finish(0.6)] == ["ended"]


class TwoClasses(ScriptedDetector):
    """The class changes with every fifth frame."""

    def __call__(self, image, *, seconds):
        found = super().__call__(image, seconds=seconds)
        return replace(found, scores=found.scores[:, :: -1 if len(self.seen) // 5 % 2 else 1])


def actor_session(**options):
    pytest.importorskip("trackers")
    from stadet.detect.actors.tracker import ActorTracker

    options = {"threshold": 0.5, "fps": None, "min_seconds": 0.0, **options}
    return DetectorSession(TwoClasses(), actors=ActorTracker(fps=10.0), **options)


def test_an_actor_is_told_and_kept_over_its_actions_and_is_new_on_a_new_connection():
    live = actor_session()
    answers = [live(frame(n)) for n in range(20)]
    began = [values for what, _, values in events_of(answers) if what == "began"]
    assert [values["class"] for values in began] == ["take", "put"]
    assert [values.get("actor") for values in began] == [None, 0]  # the first box has no id
    ended = [values for what, _, values in live.finish(2.0) if what == "ended"]
    assert [values["actor"] for values in ended] == [0, 0]
    assert all(answer.detections.actor_ids.tolist() == [0] for answer in answers[1:])
    again = [live(frame(n, starts=n == 0, offset=2.1)) for n in range(3)]  # 0.2 s later
    assert again[-1].detections.actor_ids.tolist() == [1]


def test_the_rules_go_by_actor():
    steps = (Condition(("take",)), Condition(("put",)), Condition(("take",)))
    rule = Rule("again", "sequence", steps=steps, within=5.0, same_actor=True)
    scene = Scene("scene", {"c": Camera("c", ("*",))}, (rule,))
    engine = RuleEngine(scene, scene.cameras["c"])
    live = actor_session(rules=engine)
    answers = [live(frame(n)) for n in range(15)]
    hits = [v for what, _, v in events_of(answers) if what == "ended" and "rule" in v]
    assert [values["actor"] for values in hits] == [0]
