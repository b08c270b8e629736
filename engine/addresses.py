"""Which network addresses only this machine reaches."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_loopback(header: str) -> bool:
    """Whether a request's header ``Host`` names this machine by a loopback address.

    Any other name is no proof of where a request comes from: another site's may lead here once
    its page is loaded.
    """
    if not header.isascii() or "/" in header:
        return False
    try:
        name = urlsplit(f"//{header}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
