import pytest

from stadet.engine.errors import UserError
from stadet.tools.cluster.records import (
    Record,
    claim,
    read_records,
    settings_digest,
    split_done,
    write_record,
)
from stadet.tools.cluster.sources import Source
from stadet.tools.cluster.store import Store

SETTINGS = {"work": "predict", "checkpoint": "abc", "window": 8}
DIGEST = settings_digest(SETTINGS)
SOURCES = [Source(name, f"/v/{name}.mp4", 10, "1") for name in ("a", "b", "in/c")]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def finish(store, source, digest=DIGEST):
    store.write(f"{source.name}.jsonl", b"12345")
    files = {f"{source.name}.jsonl": 5}
    record = Record(digest, source.size, source.version, files, 7, 0.5, "me")
    write_record(store, source.name, record)
    return record


def names(sources):
    return [source.name for source in sources]


def test_a_video_is_done_where_record_results_and_source_agree(store):
    todo, done = split_done(SOURCES, store, DIGEST, overwrite=False)
    assert names(todo) == ["a", "b", "in/c"]
    assert done == {}
    record = finish(store, SOURCES[2])
    assert read_records(store) == {"in/c": record}
    todo, done = split_done(SOURCES, store, DIGEST, overwrite=False)
    assert names(todo) == ["a", "b"]
    assert done == {"in/c": record}


@pytest.mark.parametrize("loss", ["result", "half a result", "record", "half a record"])
def test_what_was_lost_is_done_again(store, tmp_path, loss):
    finish(store, SOURCES[0])
    path = tmp_path / ("a.jsonl" if "result" in loss else ".stad-fleet/videos/a.json")
    if loss.startswith("half"):
        path.write_bytes(path.read_bytes()[:3])
    else:
        path.unlink()
    todo, _ = split_done(SOURCES, store, DIGEST, overwrite=False)
    assert names(todo) == ["a", "b", "in/c"]


@pytest.mark.parametrize(("size", "version"), [(11, "1"), (10, "2")])
def test_a_video_that_changed_is_only_replaced_when_told_to(store, size, version):
    finish(store, SOURCES[0])
    changed = [Source("a", "/v/a.mp4", size, version), *SOURCES[1:]]
    with pytest.raises(UserError, match=r"1 videos that have changed since \(first: a\)"):
        split_done(changed, store, DIGEST, overwrite=False)
    todo, _ = split_done(changed, store, DIGEST, overwrite=True)
    assert names(todo) == ["a", "b", "in/c"]


def test_results_of_other_settings_are_only_replaced_when_told_to(store):
    claim(store, SETTINGS, overwrite=False)
    claim(store, SETTINGS, overwrite=False)
    finish(store, SOURCES[0])
    others = {**SETTINGS, "checkpoint": "def", "tiles": [2, 2]}
    with pytest.raises(UserError, match=r"other settings \(differing: checkpoint, tiles\)"):
        claim(store, others, overwrite=False)
    claim(store, others, overwrite=True)
    todo, _ = split_done(SOURCES, store, settings_digest(others), overwrite=True)
    assert names(todo) == ["a", "b", "in/c"]


def test_a_folder_of_others_is_left_alone(store, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"files of others \(mine\.txt\)"):
        claim(store, SETTINGS, overwrite=False)
    claim(store, SETTINGS, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"
