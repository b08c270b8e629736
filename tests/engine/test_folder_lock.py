import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from stadet.engine.errors import UserError
from stadet.engine.folder_lock import LOCK_NAME, SILENT_SECONDS, folder_lock

HOLD = """
import sys, time
from stadet.engine.folder_lock import folder_lock
with folder_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path / "run"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path, holder):
    with (
        pytest.raises(UserError, match=rf"process {holder.pid} \(since"),
        folder_lock(tmp_path / "run"),
    ):
        pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_process_that_died_is_no_obstacle(tmp_path, holder, end):
    holder.send_signal(end)
    holder.wait()
    assert (tmp_path / "run" / LOCK_NAME).exists()
    with folder_lock(tmp_path / "run"):
        pass


def test_the_lock_ends_with_its_process_although_a_child_lives_on(tmp_path):
    script = HOLD.replace(
        "    time.sleep(60)", "    import os, signal\n    os.fork() and os._exit(0)"
    )
    script += "    time.sleep(60)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "run"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    process.wait()
    try:
        with folder_lock(tmp_path / "run"):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_one_that_ended_leaves_nothing(tmp_path):
    with folder_lock(tmp_path / "new" / "run"):
        assert (tmp_path / "new" / "run" / LOCK_NAME).exists()
    assert not (tmp_path / "new" / "run").exists()
    (tmp_path / "old").mkdir()
    with folder_lock(tmp_path / "old"):
        (tmp_path / "old" / "kept").write_text("")
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["kept"]


@pytest.mark.parametrize("silent", [0, 2 * SILENT_SECONDS])
def test_a_holder_on_another_host_counts_while_it_touches_the_file(tmp_path, silent):
    path = tmp_path / LOCK_NAME
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "today"}))
    os.utime(path, (time.time() - silent,) * 2)
    if silent:
        with folder_lock(tmp_path):
            assert json.loads(path.read_text())["host"] == socket.gethostname()
    else:
        with pytest.raises(UserError, match="process 1 on elsewhere"), folder_lock(tmp_path):
            pass


def test_a_damaged_lock_file_is_no_obstacle(tmp_path):
    (tmp_path / LOCK_NAME).write_bytes(b"\xff{")
    with folder_lock(tmp_path):
        pass
