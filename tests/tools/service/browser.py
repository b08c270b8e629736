"""Helpers of tests that look at pages in a real browser."""

from __future__ import annotations

import os
import time
from pathlib import Path

PHONE = {"width": 390, "height": 844}
PICTURES = os.environ.get("STAD_SCREENSHOTS")  # folder to keep the pages' pictures in


def picture(page, name):
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def until(page, expression, given=None, seconds=60):
    """Wait until an expression in the page is true (its policy forbids `wait_for_function`), also
    while the browser goes to another page."""
    from playwright.sync_api import Error

    deadline = time.monotonic() + seconds
    while True:
        try:
            if page.evaluate(expression, given):
                return
        except Error as error:
            if "context was destroyed" not in str(error):
                raise
        assert time.monotonic() < deadline, f"never: {expression}"
        time.sleep(0.05)


def fits(page):
    """Nothing is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
