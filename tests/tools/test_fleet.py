"""`stad fleet` on Ray: processes of this machine alone, and two nodes of a cluster."""

import os
import signal
import subprocess
import sys
import time

import pytest

from stadet.tools.cli import main
from tests.tools.small_checkpoints import save_small_checkpoint, save_small_classifier

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_small_checkpoint(tmp_path_factory.mktemp("fleet") / "best.pt", "yolo")


def arguments(footage, checkpoint, out):
    given = [str(footage.videos), "--checkpoint", str(checkpoint), "--out", str(out)]
    return [*given, "--for-evaluation", "--device", "cpu", "--max-frames", "40"]


def expect_equal(out, footage, checkpoint, single):
    """Results in `out` are, joined, the file of one process."""
    assert main(["predict", *arguments(footage, checkpoint, single)]) == 0
    parts = [path.read_bytes().partition(b"\n") for path in sorted(out.glob("*.jsonl"))]
    assert parts[0][0] + b"\n" + b"".join(rest for *_, rest in parts) == single.read_bytes()
    assert b"bbox" in single.read_bytes()


def test_help_and_mistakes_need_no_ray(footage, checkpoint, tmp_path, capsys):
    given = arguments(footage, checkpoint, tmp_path / "out")
    assert main(["fleet", "predict", *given, "--workers", "0"]) == 2
    assert "--workers" in capsys.readouterr().err
    assert main(["fleet", "predict", *given, "--address", "127.0.0.1:1"]) == 2
    told = capsys.readouterr().err
    assert "--address 127.0.0.1:1: expected a Ray cluster" in told
    assert "Traceback" not in told
    with pytest.raises(SystemExit, match="2"):
        main(["fleet", "swim"])
    assert "invalid choice: 'swim'" in capsys.readouterr().err


def test_results_are_of_one_checkpoint_by_its_content(footage, checkpoint, tmp_path, capsys):
    mine = tmp_path / "mine.pt"
    mine.write_bytes(checkpoint.read_bytes())
    given = [*arguments(footage, mine, tmp_path / "out"), "--address", "127.0.0.1:1"]
    assert main(["fleet", "predict", *given]) == 2  # the place is its own, the cluster not there
    assert main(["fleet", "predict", *given]) == 2
    assert "expected a Ray cluster" in capsys.readouterr().err.splitlines()[-1]
    save_small_checkpoint(mine, "recurrent-yolo")
    assert main(["fleet", "predict", *given]) == 2
    assert "other settings (differing: checkpoint)" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_and_resumed_it_equals_one_process(footage, checkpoint, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "stadet.tools.cli", "fleet", "predict"]
    command += [*arguments(footage, checkpoint, out), "--workers", "1"]
    records = out / ".stad-fleet" / "videos"
    driver = subprocess.Popen(command, start_new_session=True)
    while driver.poll() is None and not list(records.glob("*.json")):
        time.sleep(0.02)
    assert driver.poll() is None, "ended before it could be killed"
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    done = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 1 <= len(done) < 4
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert f"{4 - len(done)} videos done" in found.stdout
    assert f"{len(done)} done before" in found.stdout
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    expect_equal(out, footage, checkpoint, tmp_path / "single.jsonl")


@pytest.mark.slow
def test_one_bad_video_is_told_and_the_rest_is_done(footage, checkpoint, tmp_path, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    out = tmp_path / "out"
    given = arguments(footage, checkpoint, out)
    assert main(["fleet", "predict", str(bad), *given, "--workers", "1"]) == 1
    told = capsys.readouterr()
    assert "bad: failed: worker 1 (" in told.err
    assert "4 videos done" in told.out
    assert "1 failed" in told.out
    expect_equal(out, footage, checkpoint, tmp_path / "single.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("window", "table"), [([], "predictions.csv"), (["--sliding", "1"], "timeline.csv")]
)
def test_classes_equal_those_of_one_process(footage, tmp_path, window, table):
    checkpoint, out = save_small_classifier(tmp_path / "best.pt"), tmp_path / "out"
    given = [str(footage.videos), "--checkpoint", str(checkpoint), "--device", "cpu", *window]
    assert main(["fleet", "classify", *given, "--out", str(out), "--workers", "1"]) == 0
    assert main(["classify", *given, "--out", str(tmp_path / "single")]) == 0
    parts = [path.read_bytes().partition(b"\n") for path in sorted(out.glob(f"*/{table}"))]
    assert len(parts) == 4
    joined = parts[0][0] + b"\n" + b"".join(rest for *_, rest in parts)
    assert joined == (tmp_path / "single" / table).read_bytes()


@pytest.mark.slow
def test_two_nodes_of_a_cluster(footage, checkpoint, tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        out = tmp_path / "out"
        given = arguments(footage, checkpoint, out)
        assert main(["fleet", "predict", *given, "--address", cluster.address]) == 0
        records = [p.read_text() for p in (out / ".stad-fleet" / "videos").glob("*.json")]
        assert len(records) == 4
        expect_equal(out, footage, checkpoint, tmp_path / "single.jsonl")
    finally:
        cluster.shutdown()
