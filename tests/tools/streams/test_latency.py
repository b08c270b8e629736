import math

import numpy as np
import pytest

from stadet.tools.streams.latency import LatencyMeter


def test_nothing_yet():
    figures = LatencyMeter().figures()
    assert math.isnan(figures.p50) and math.isnan(figures.p95) and figures.fps == 0


def test_only_the_window_counts():
    meter = LatencyMeter(window=2.0)
    latencies = np.linspace(0.01, 0.5, 100)
    for number, latency in enumerate(latencies):
        meter.add(number / 10 - latency, number / 10)
    figures = meter.figures()
    kept = latencies[-21:]  # drawn within the last 2.0 s, both ends included
    assert figures.p50 == pytest.approx(1000 * np.median(kept))
    assert figures.p95 == pytest.approx(1000 * np.percentile(kept, 95))
    assert figures.fps == pytest.approx(10)
