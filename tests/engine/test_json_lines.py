import errno
import io
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from stadet.engine.errors import UserError
from stadet.engine.json_lines import JsonLinesWriter, append_row

ROWS = [{"a": 1}, {"name": "Küche\u2028\n"}, {"list": [0.5, None, True]}]


@pytest.mark.parametrize("readable", [False, True])
def test_what_is_appended_is_read_back(tmp_path, readable):
    path = tmp_path / "new" / "rows.jsonl"
    with JsonLinesWriter(path, readable=readable) as writer:
        writer.write(ROWS[0])
    with JsonLinesWriter(path, readable=readable) as writer:
        assert not writer.closed
        writer.write(ROWS[1])
    assert writer.closed
    append_row(path, ROWS[2])
    content = path.read_bytes()
    assert [json.loads(line) for line in content.splitlines()] == ROWS
    assert ("Küche".encode() in content) == readable


def test_rows_of_a_killed_process_are_whole(tmp_path):
    path = tmp_path / "rows.jsonl"
    code = f"""
        import os, signal
        from stadet.engine.json_lines import JsonLinesWriter
        writer = JsonLinesWriter({str(path)!r})
        for number in range(1000):
            writer.write({{"number": number}})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)])
    assert done.returncode == -signal.SIGKILL
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"number": number} for number in range(1000)]


def test_a_borrowed_stream_stays_open():
    stream = io.StringIO()
    with JsonLinesWriter("standard output", stream=stream) as writer:
        writer.write(ROWS[0])
    assert not stream.closed and json.loads(stream.getvalue()) == ROWS[0]


def test_a_full_disk_is_told(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with pytest.raises(UserError, match="cannot write /dev/full: the disk is full"):
        append_row("/dev/full", ROWS[0])


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="a file is where a folder is needed"):
        JsonLinesWriter(tmp_path / "file" / "rows.jsonl")


def test_other_errors_pass():
    class Broken(io.StringIO):
        def flush(self):
            raise OSError(errno.EPIPE, "broken pipe")

    with pytest.raises(OSError, match="broken pipe"):
        JsonLinesWriter("standard output", stream=Broken()).write(ROWS[0])
