"""Webhooks against receivers on the loopback: good, failing, hanging, refusing."""

import contextlib
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stadet.engine.errors import UserError
from stadet.tools.cli import main
from stadet.tools.streams import webhook
from stadet.tools.streams.events import EventLog
from stadet.tools.streams.webhook import Webhook
from tests.datasets.numbered_videos import write_numbered
from tests.tools.small_checkpoints import save_small_checkpoint


class Receiver:
    """Answers with `codes` in turn, then 200; None hangs until the end, "drip" never ends."""

    def __init__(self, codes=()):
        self.codes, self.got, self.times = list(codes), [], []
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.times.append(time.monotonic())
                code = receiver.codes.pop(0) if receiver.codes else 200
                if code is None:
                    receiver.release.wait(20)
                    return
                if code == "drip":
                    with contextlib.suppress(OSError):
                        while not receiver.release.wait(0.05):
                            self.wfile.write(b"H")
                    return
                if code == 200:
                    receiver.got.append((dict(self.headers), body))
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def numbers(self):
        return [json.loads(body)["number"] for _, body in self.got]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_arrive_in_order_and_signed(tmp_path):
    with Receiver() as receiver:
        with Webhook(receiver.address, tmp_path, secret="käse") as hook:
            for number in range(20):
                hook.send({"number": number})
        assert receiver.numbers() == list(range(20))
    for headers, body in receiver.got:
        seconds, code = (part.split("=")[1] for part in headers["X-Stad-Signature"].split(","))
        expected = hmac.digest("käse".encode(), seconds.encode() + b"." + body, "sha256").hex()
        assert code == expected and hashlib.sha256(body).hexdigest() != code
        assert abs(int(seconds) - time.time()) < 60
        assert headers["X-Stad-Event"] == json.loads(body)["id"]
    assert (tmp_path / "outbox.jsonl").read_text() == ""


def test_failing_receiver_is_asked_again_after_growing_pauses(tmp_path):
    with Receiver([500, 503, 429, 500]) as receiver:
        with Webhook(receiver.address, tmp_path, first_pause=0.05) as hook:
            hook.send({"number": 0})
            hook.send({"number": 1})
        assert receiver.numbers() == [0, 1]
        pauses = [b - a for a, b in zip(receiver.times[:4], receiver.times[1:5], strict=True)]
        for pause, least in zip(pauses, [0.05, 0.1, 0.2, 0.4], strict=True):
            assert pause >= least
    assert not (tmp_path / "dead.jsonl").exists()


@pytest.mark.parametrize("codes", [[None], [500] * 1000], ids=["hangs", "always 500"])
def test_send_never_waits_and_the_next_run_delivers(tmp_path, codes):
    said = []
    with Receiver(codes) as receiver:
        with Webhook(receiver.address, tmp_path, linger=0.2, notify=said.append) as hook:
            began = time.monotonic()
            for number in range(100):
                hook.send({"number": number})
            assert time.monotonic() - began < 1
        assert time.monotonic() - began < 3
        assert receiver.got == [] and "100 events wait" in said[-1]
    with Receiver() as receiver:
        with Webhook(receiver.address, tmp_path):
            pass
        assert receiver.numbers() == list(range(100))


def test_an_answer_that_never_ends_is_cut_off_and_asked_for_again(tmp_path):
    """Each pause is shorter than the timeout."""
    said = []
    with (
        Receiver(["drip", "drip"]) as receiver,
        Webhook(
            receiver.address, tmp_path, timeout=0.3, first_pause=0.05, notify=said.append
        ) as hook,
    ):
        hook.send({"number": 0})
        deadline = time.monotonic() + 20
        while not receiver.got and time.monotonic() < deadline:
            time.sleep(0.02)
    assert receiver.numbers() == [0] and "no answer" in said[0]
    assert receiver.times[1] - receiver.times[0] >= 0.8


def test_process_killed_while_sending_loses_nothing(tmp_path):
    first, second = {"id": "a", "number": 1}, {"id": "b", "number": 2}
    rows = [json.dumps(row) for row in (first, second, {"done": "a"})]
    (tmp_path / "outbox.jsonl").write_text("\n".join([*rows, '{"id": "c", "num']))
    with Receiver() as receiver:
        with Webhook(receiver.address, tmp_path):
            pass
        assert receiver.numbers() == [2]


@pytest.mark.parametrize("code", [400, 302])
def test_refused_event_is_a_dead_letter_and_the_next_goes_on(tmp_path, code):
    with Receiver([code]) as receiver:
        with Webhook(receiver.address, tmp_path) as hook:
            hook.send({"number": 0})
            hook.send({"number": 1})
        assert receiver.numbers() == [1]
    (dead,) = lines(tmp_path / "dead.jsonl")
    assert dead["event"]["number"] == 0 and str(code) in dead["reason"]


def test_given_up_event_is_a_dead_letter(tmp_path):
    with (
        Receiver([500] * 1000) as receiver,
        Webhook(receiver.address, tmp_path, first_pause=0.01, give_up=0.1) as hook,
    ):
        hook.send({"number": 0})
    (dead,) = lines(tmp_path / "dead.jsonl")
    assert dead["event"]["number"] == 0 and "500" in dead["reason"]


def test_a_receiver_that_stays_dead_does_not_keep_each_event_for_so_long(tmp_path):
    """All waited at the same time, so all are given up at the same time."""
    with (
        Receiver([500] * 1000) as receiver,
        Webhook(receiver.address, tmp_path, first_pause=0.02, give_up=0.5) as hook,
    ):
        began = time.monotonic()
        for number in range(10):
            hook.send({"number": number})
    assert time.monotonic() - began < 2
    assert [row["event"]["number"] for row in lines(tmp_path / "dead.jsonl")] == list(range(10))


def test_the_outbox_does_not_grow_with_delivered_events(tmp_path, monkeypatch):
    monkeypatch.setattr(webhook, "LEFT_LINES", 10)
    outbox, most = tmp_path / "outbox.jsonl", 0
    with Receiver() as receiver:
        with Webhook(receiver.address, tmp_path) as hook:
            for number in range(100):
                hook.send({"number": number})
                while len(receiver.got) <= number:
                    time.sleep(0.001)
                most = max(most, len(lines(outbox)))
        assert receiver.numbers() == list(range(100))
    assert most <= 2 * 11 + 2 and outbox.read_text() == ""


def test_what_waits_is_kept_when_the_outbox_is_shortened(tmp_path, monkeypatch):
    """The receiver takes thirty of sixty events, then fails; the next run sends the others."""
    monkeypatch.setattr(webhook, "LEFT_LINES", 3)
    with Receiver([200] * 30 + [500] * 1000) as receiver:
        with Webhook(receiver.address, tmp_path, linger=0.5) as hook:
            for number in range(60):
                hook.send({"number": number})
            while len(receiver.times) < 31:
                time.sleep(0.001)
            kept = (tmp_path / "outbox.jsonl").read_text()  # what a kill would leave
        assert receiver.numbers() == list(range(30))
    (tmp_path / "outbox.jsonl").write_text(kept)
    with Receiver() as receiver:
        with Webhook(receiver.address, tmp_path):
            pass
        assert receiver.numbers() == list(range(30, 60))


@pytest.mark.parametrize(
    "address", ["ftp://a/b", "counter", "http:///x", "", "http://a:99999/", "http://a b/"]
)
def test_other_addresses_are_refused(tmp_path, address):
    with pytest.raises(UserError, match="expected http"):
        Webhook(address, tmp_path)


def test_damaged_outbox_is_told(tmp_path):
    (tmp_path / "outbox.jsonl").write_text('nonsense\n{"id": "a"}\n')
    with pytest.raises(UserError, match="line 1"):
        Webhook("http://127.0.0.1:9/", tmp_path)


def test_event_log_sends_the_rows_that_it_writes(tmp_path):
    with Receiver() as receiver:
        with (
            Webhook(receiver.address, tmp_path / "hook") as hook,
            EventLog(tmp_path / "events.jsonl", hook) as log,
        ):
            log.write("counter", "began", 1.25, rule="tongs")
            log.write("counter", "ended", 2.5, rule="tongs")
        sent = [json.loads(body) for _, body in receiver.got]
    assert [{k: v for k, v in row.items() if k != "id"} for row in sent] == lines(
        tmp_path / "events.jsonl"
    )


def test_events_are_sent_without_a_file(tmp_path):
    with Receiver() as receiver:
        with Webhook(receiver.address, tmp_path) as hook, EventLog(None, hook) as log:
            log.write("counter", "began", 0.0, number=7)
        assert receiver.numbers() == [7]


def test_the_command_sends_its_events(tmp_path, monkeypatch):
    monkeypatch.setenv("STAD_WEBHOOK_SECRET", "secret")
    write_numbered(tmp_path / "a.mp4", count=24, rate=24)
    checkpoint, log = tmp_path / "best.pt", tmp_path / "events.jsonl"
    save_small_checkpoint(checkpoint, "yolo")
    with Receiver() as receiver:
        arguments = ["--checkpoint", str(checkpoint), "--threshold", "0.0001", "--device", "cpu"]
        arguments += ["--webhook", receiver.address, "--webhook-folder", str(tmp_path / "hook")]
        assert main(["live", str(tmp_path / "a.mp4"), *arguments, "--events", str(log)]) == 0
        sent = [json.loads(body) for _, body in receiver.got]
        assert all("X-Stad-Signature" in headers for headers, _ in receiver.got)
    assert sent and [row | {"id": 0} for row in sent] == [row | {"id": 0} for row in lines(log)]
