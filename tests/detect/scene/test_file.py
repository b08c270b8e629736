import pytest

from stadet.detect.scene.file import read_scene
from stadet.engine.errors import UserError

SCENE = """\
schema: stad-scene/1
cameras:
  counter:
    videos: ["counter*"]
    size: [240, 320]
    zones:
      bin: [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5], [0.1, 0.5]]
      tray: [[0.6, 0.5], [0.9, 0.5], [0.9, 0.9]]
    lines:
      door: [[0.5, 1], [0.5, 0]]
  door: {}
rules:
  - {name: hands in the bin, kind: presence, classes: [hand], zone: bin, seconds: 0.5, cooldown: 5}
  - {name: queue, kind: count, classes: person, at_least: 3, seconds: 10}
  - {name: out, kind: crossing, line: door, direction: left_to_right}
  - name: unwiped
    kind: sequence
    steps: [{classes: [cut], zone: tray}, {classes: [serve]}]
    unless: {classes: [wipe]}
    within: 60
  - {name: no wash, kind: absence, after: {zone: bin}, expect: {classes: [wash]}, within: 20}
"""


def read(folder, text):
    (folder / "scene.yaml").write_text(text)
    return read_scene(folder / "scene.yaml")


def test_everything_is_read(tmp_path):
    scene = read(tmp_path, SCENE)
    counter, door = scene.cameras.values()
    assert (counter.size, list(counter.zones), counter.lines["door"]) == (
        (240, 320),
        ["bin", "tray"],
        ((0.5, 1.0), (0.5, 0.0)),
    )
    assert door.videos == ("door",)
    hands, queue, out, unwiped, no_wash = scene.rules
    assert (hands.when.classes, hands.when.zone) == (("hand",), "bin")
    assert (hands.seconds, hands.cooldown, hands.min_score) == (0.5, 5.0, 0.3)
    assert (queue.when.classes, queue.at_least, queue.at_most) == (("person",), 3, None)
    assert out.direction == "left_to_right"
    assert [step.classes for step in unwiped.steps] == [("cut",), ("serve",)]
    assert unwiped.unless.classes == ("wipe",)
    assert (no_wash.after.zone, no_wash.expect.classes) == ("bin", ("wash",))
    assert [rule.name for rule in scene.rules if rule.holds_in(door)] == ["queue"]
    assert scene.camera_of("counter 3") is counter
    with pytest.raises(UserError, match="expected one camera of the video 'kitchen', found none"):
        scene.camera_of("kitchen")
    with pytest.raises(UserError, match=r"found 'hand' \(did you mean hands"):
        scene.check_classes(("hands", "person", "cut", "serve", "wipe", "wash"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stad-scene/1", "stad-scene/9", "expected schema: stad-scene/1, found 'stad-scene/9'"),
        ("[0.4, 0.5], [0.1, 0.5]]", "[0.1, 0.5], [0.4, 0.5]]", "zone 'bin'.*does not cross itself"),
        ("[0.9, 0.5], [0.9, 0.9]]", "[0.9, 0.5]]", "three points or more, found 2"),
        ("[0.9, 0.9]]", "[0.7, 0.5]]", "a polygon with an area"),
        ("[0.9, 0.9]]", "[0.9, 90]]", "shares of the frame's width and height"),
        ("[[0.5, 1], [0.5, 0]]", "[[0.5, 1], [0.5, 1]]", "two different points"),
        ("zone: bin, seconds", "zone: bins, seconds", r"zone 'bins' is unknown \(did you mean bin"),
        ("line: door", "line: dor", "line 'dor' is unknown"),
        ("kind: presence", "kind: presense", r"found 'presense' \(did you mean presence"),
        ("cooldown: 5", "cooldwon: 5", r"unknown key 'cooldwon' \(did you mean cooldown"),
        ("seconds: 0.5", "seconds: -1", "seconds: expected a number"),
        ("at_least: 3", "at_least: 3, at_most: 2", "no number is both"),
        ("at_least: 3", "grace: 1", "needs at_least or at_most"),
        ("within: 60", "within: 0", "expected more than 0 s"),
        ("unless: {classes: [wipe]}", "unless: {classes: [serve]}", "never happens"),
        (
            "expect: {classes: [wash]}",
            "expect: {zone: bin}",
            "expect looks for all .* never happens",
        ),
        ("expect: {classes: [wash]}", "expect: {}", "expect looks for all boxes of after"),
        ("unless: {classes: [wipe]}", "unless: {}", "unless looks for all boxes of a later step"),
        ("unless: {classes: [wipe]}", "unless: {classes: [cut], zone: tray}", "the first step"),
        (
            "at_least: 3",
            "at_least: 0",
            "at_least: expected 1 or more, found 0: every number is met",
        ),
        ("[0.9, 0.9]]", "[0.9, 0.9], [0.6, 0.5]]", "points 1 and 4 are the same; leave one out"),
        ("door: {}", 'door: {videos: ["*"]}', "'counter' and 'door' both show 'counter\\*'"),
        ("door: {}", "door: {videos: [counter, x]}", "'door' and 'counter' both show 'counter'"),
        ("door: {}", "door: {videos: []}", "leave it out for 'door'"),
        ("name: queue", "name: out", "two rules are called 'out'"),
        ("kind: count", "kind: count, camera: dor", r"camera 'dor' is unknown \(did you mean door"),
        ("  door: {}", "  counter: {}", "counter"),
        ("zone: tray}", "zone: tray, class: x}", "unknown key 'class'"),
        ("classes: person", "classes: []", "leave it out for all"),
        ("size: [240, 320]", "size: [240]", "height, width"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path, old, new, message):
    assert old in SCENE
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, SCENE.replace(old, new, 1))
    assert "\n" not in str(caught.value) and "scene.yaml" in str(caught.value)


def test_two_cameras_of_a_video(tmp_path):
    """Patterns that overlap in some names only are told for a video of such a name."""
    scene = read(tmp_path, SCENE.replace("door: {}", 'door: {videos: ["*door"]}'))
    assert scene.camera_of("counter 1").name == "counter"
    with pytest.raises(UserError, match="found counter, door"):
        scene.camera_of("counter door")


def test_unless_and_expect_may_look_for_some_of_the_boxes(tmp_path):
    text = SCENE.replace("unless: {classes: [wipe]}", "unless: {classes: [serve], zone: bin}")
    text = text.replace("after: {zone: bin}", "after: {classes: [cut, wash]}")
    assert len(read(tmp_path, text).rules) == 5
    whole = text.replace("expect: {classes: [wash]}", "expect: {classes: [wash, cut, x]}")
    with pytest.raises(UserError, match="expect looks for all boxes of after"):
        read(tmp_path, whole)
