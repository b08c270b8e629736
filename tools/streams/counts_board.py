"""Counts of live streams: files that are brought up to date as the day goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from stadet.detect.report.counts import total_lines
from stadet.detect.scene.counted import SceneCounts, in_order
from stadet.detect.scene.live_counts import LiveCounter
from stadet.detect.scene.scene import Scene
from stadet.engine.errors import UserError
from stadet.engine.files import disk_error

DAY_ENDS = 4 * 3600.0  # seconds after midnight: what comes before belongs to the evening before
DAY = 86_400.0
SECONDS = 10.0  # between two writings


class CountsBoard:
    """Counts what streams show, a folder for each day: `2026-11-27/counts.html` and the other files
    of `stad counts`. Another run of the same day has a folder of its own, `2026-11-27-2`.

    A day ends at four in the morning, once nothing goes on, and leaves its stock to the next.

    Args:
        scene: with counts.
        folder: of the days.
        streams: names of all streams.
        seconds: between two writings.
        clock: the time of day; the machine's by default.
        notify: told of folders, and of files that cannot be written.

    Raises:
        UserError: for a scene without counts, streams of which none or two of one camera are
            counted, and a folder that cannot be made.
    """

    def __init__(
        self,
        scene: Scene,
        folder: str | Path,
        streams: Sequence[str],
        *,
        seconds: float = SECONDS,
        clock: Callable[[], datetime] = datetime.now,
        notify: Callable[[str], None] = lambda text: None,
    ):
        if scene.counts is None:
            raise UserError(
                f"{scene.source}: expected a section counts, found none; docs/counts.md shows one"
            )
        cameras: dict[str, str] = {}
        for name in streams:
            camera = scene.camera_of(name).name
            if camera not in scene.counts.cameras:
                continue
            if camera in cameras:
                raise UserError(
                    f"--counts: expected one stream of a camera, found that {cameras[camera]!r} "
                    f"and {name!r} are of camera {camera!r}: what both show would count twice"
                )
            cameras[camera] = name
        if not cameras:
            raise UserError("--counts: expected a stream of a camera that is counted, found none")
        self._scene, self._root, self._streams = scene, Path(folder), set(cameras.values())
        self._seconds, self._clock, self._notify = seconds, clock, notify
        self._counters: list[LiveCounter] = []
        self._left: dict[tuple[str, str], int] = {}
        self._failing = False
        self.page, self.lines = "", ["nothing yet"]  # the newest page, and the totals in words
        self.folder: Path | None = None  # of the day, once it is made
        self._midnight = self._midnight_before()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counts", daemon=True)

    def counter(self, stream: str, names: Sequence[str]) -> LiveCounter | None:
        """The counter of a stream whose boxes have these classes; None where it is not counted."""
        if stream not in self._streams:
            return None
        found = LiveCounter(self._scene, self._scene.camera_of(stream), stream, names)
        self._counters.append(found)
        return found

    def time_of_day(self) -> float:
        """Seconds after the midnight before the day began: above 24 h from the next one on."""
        return (self._clock() - self._midnight).total_seconds()

    def write(self) -> None:
        """Bring the files up to date."""
        counts = self._counts()
        if counts is None:
            return
        from stadet.tools.counts import CountResult, write_counts

        result = CountResult(counts, None, None, counts.notes())
        self.page = write_counts(self._folder(), result, "boxes of live streams")
        self.lines = list(total_lines(counts, None))

    def _counts(self) -> SceneCounts | None:
        videos = [counts for one in list(self._counters) if (counts := one.counts()) is not None]
        if not videos:
            return None
        return SceneCounts(self._scene, in_order(videos, list(self._scene.cameras)), self._left)

    def _midnight_before(self) -> datetime:
        """The midnight with which the day began; of a night, that of the evening before."""
        now = self._clock()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        early = (now - midnight).total_seconds() < DAY_ENDS
        return midnight - timedelta(days=1) if early else midnight

    def _folder(self) -> Path:
        """The day's folder, which is made."""
        if self.folder is not None:
            return self.folder
        day = self._midnight.strftime("%Y-%m-%d")
        number, folder = 1, self._root / day
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            while folder.exists():
                number += 1
                folder = self._root / f"{day}-{number}"
            folder.mkdir()
        except OSError as error:
            raise disk_error(error, self._root) from error
        self._notify(f"counts: {folder / 'counts.html'}")
        self.folder = folder
        return folder

    def _end_day(self) -> None:
        """Write the day's last counts and begin another, once the day is over and nothing goes
        on."""
        if self.time_of_day() < DAY + DAY_ENDS or not all(one.quiet for one in self._counters):
            return
        self.write()
        counts = self._counts()
        if counts is not None:
            self._left |= {(s.video.camera, s.bin): s.final for s in counts.stock}
        for counter in self._counters:
            counter.new_day()
        self.folder, self._midnight = None, self._midnight_before()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            began = time.monotonic()
            self._bring_up_to_date()
            # never more than a tenth of the time
            self._stopping.wait(max(0.0, 9 * (time.monotonic() - began) - self._seconds))

    def _bring_up_to_date(self) -> None:
        """A full disk does not end the streams; the next time may find room."""
        try:
            self._end_day()
            self.write()
            self._failing = False
        except UserError as error:
            if not self._failing:
                self._notify(f"counts: {error}; trying again")
            self._failing = True

    def __enter__(self) -> CountsBoard:
        self._folder()  # what is wrong with it is told before any stream opens
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self.write()
