"""Seconds that rise from frame to frame, whatever a source's clock does."""

from __future__ import annotations

SET_BACK = 1.0  # seconds: a smaller fall is frames out of order, not another clock
LEAST_STEP = 1e-3  # seconds


class RisingClock:
    """The clock of one connection.

    Frames that come out of order by less than `SET_BACK` are `LEAST_STEP` apart until the source's
    clock has caught up. Where that clock is set back by more, time goes on from the frame before:
    it does not stand still until the old time comes again.

    Attributes:
        offset: what is added to the source's seconds.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self._last: float | None = None
        self._step = 0.0  # between the last two frames

    def update(self, seconds: float, elapsed: float) -> float:
        """Seconds of the next frame.

        Args:
            seconds: by the source's clock.
            elapsed: since the frame before, by this machine's clock; 0 where frames do not come as
                they happen.
        """
        found = seconds + self.offset
        if self._last is not None:
            if found < self._last - SET_BACK:
                found = self._last + max(self._step, elapsed, LEAST_STEP)
                self.offset = found - seconds
            found = max(found, self._last + LEAST_STEP)
            self._step = found - self._last
        self._last = found
        return found
