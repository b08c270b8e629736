import os
import signal
import subprocess
import sys
import time

import pytest

from stadet.engine.stop import Stopped, exit_status, stop_requests, stopping_at_once

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ALL)
def test_outside_of_training_a_signal_ends_the_program_at_once(number):
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, stopping_at_once():
        send(number)
        time.sleep(5)
    assert exit_status(stopped.value) == {2: 130, 15: 143, 1: 129}[number]
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", ALL)
def test_in_training_it_is_noted_and_raised_where_that_is_safe(number):
    with stop_requests() as stop:
        with stop.raising():
            pass
        assert not stop.is_set()
        send(number)
        assert stop.is_set() and stop.number == number
        with pytest.raises(Stopped), stop.raising():
            raise AssertionError("the block is not entered")
        send(number)  # in the middle of putting things away: not raised again
    with stop_requests() as stop, pytest.raises(Stopped), stop.raising():
        send(number)
        time.sleep(5)


def test_a_second_ctrl_c_ends_at_once_and_a_second_term_does_not(monkeypatch):
    monkeypatch.setattr("stadet.engine.stop._AGAIN_SECONDS", 0.0)
    with stop_requests():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        send(signal.SIGINT)
    with pytest.raises(Stopped), stop_requests():
        send(signal.SIGINT)
        send(signal.SIGINT)


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with stopping_at_once(), stop_requests() as stop:
            send(signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_notice_comes_while_native_code_is_busy():
    script = """
import os, signal, threading, time, zlib
from stadet.engine.stop import stop_requests
told = []
block = bytes(1 << 30)
with stop_requests(lambda number: told.append((number, time.monotonic()))):
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    zlib.adler32(block)  # the main thread runs no bytecode, and so no handler
    end = time.monotonic()
    time.sleep(0.2)
print(told[0][0], told[0][1] < end)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "15 True\n", found.stderr


def test_a_loading_process_heeds_its_parent_alone():
    script = """
import os, signal, sys, time
from stadet.engine.stop import leave_stopping_to_parent
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    leave_stopping_to_parent()
    os.write(writing, b"x")
    time.sleep(30)
    os._exit(1)
os.read(reading, 1)
stranger = os.fork()
if stranger == 0:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.kill(child, number)
    os._exit(0)
os.waitpid(stranger, 0)
time.sleep(0.3)
alive = os.waitpid(child, os.WNOHANG) == (0, 0)
os.kill(child, signal.SIGTERM)
print(alive, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "True 0\n", found.stderr
