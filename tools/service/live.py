"""The pictures of a running `stad live --serve PORT`, handed on behind the service's token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

from stadet.engine.errors import UserError

ANSWER_SECONDS = 5.0
MOST_STATUS = 2**22  # bytes, also of a page of counts
MOST_PICTURE = 2**25  # bytes
PIECE = 2**16
_BROKEN = (asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class LiveAway(Exception):
    """`stad live` does not answer."""


class LiveSource:
    """Reads the page of `stad live` at an address that the administrator names.

    Args:
        address: ``http://HOST:PORT/``, as `stad live --serve` tells it.

    Raises:
        UserError: for another kind of address.
    """

    def __init__(self, address: str):
        try:
            parts = urlsplit(address)
            port = parts.port or 80
        except ValueError as error:
            raise UserError(f"--live {address}: not a valid address ({error})") from error
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise UserError(
                f"--live {address}: expected the page of stad live --serve, as in "
                "http://127.0.0.1:8001/"
            )
        self._host, self._port = parts.hostname, port

    async def status(self) -> dict[str, dict[str, Any]]:
        """Figures of every camera by its name. `LiveAway` where nothing answers."""
        try:
            found = json.loads(await self._content("/status.json"))
        except ValueError as error:
            raise LiveAway from error
        if not isinstance(found, dict):
            raise LiveAway
        return found

    async def counted(self) -> list[str]:
        """Totals of meals, stock and use in lines; empty where `stad live` does not count."""
        try:
            found = json.loads(await self._content("/counts.json"))
        except (LiveAway, ValueError):
            return []
        return [str(line) for line in found] if isinstance(found, list) else []

    async def counts_page(self) -> bytes:
        """The page of the counts. `LiveAway` where there is none."""
        return await self._content("/counts.html")

    async def _content(self, path: str) -> bytes:
        """A whole answer."""
        async with self._get(path) as reader:
            try:
                content = await asyncio.wait_for(reader.read(MOST_STATUS), ANSWER_SECONDS)
                while more := await asyncio.wait_for(reader.read(MOST_STATUS), ANSWER_SECONDS):
                    content += more
                    if len(content) > MOST_STATUS:
                        raise LiveAway
            except (OSError, asyncio.TimeoutError) as error:
                raise LiveAway from error
        return content

    async def pictures(self, name: str) -> AsyncIterator[bytes]:
        """Multipart JPEG of a camera (boundary ``frame``), until either side ends it."""
        async with self._get(f"/stream/{quote(name, safe='')}") as reader:
            with contextlib.suppress(OSError):
                while piece := await reader.read(PIECE):
                    yield piece

    async def picture(self, name: str) -> bytes:
        """The newest picture of a camera as JPEG. `LiveAway` where none comes."""
        async with self._get(f"/stream/{quote(name, safe='')}") as reader:
            try:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_SECONDS)
                length = re.search(rb"Content-Length: ([0-9]{1,8})\r", head, re.IGNORECASE)
                if length is None or int(length[1]) > MOST_PICTURE:
                    raise LiveAway
                return await asyncio.wait_for(reader.readexactly(int(length[1])), ANSWER_SECONDS)
            except (OSError, asyncio.TimeoutError, *_BROKEN) as error:
                raise LiveAway from error

    @contextlib.asynccontextmanager
    async def _get(self, path: str) -> AsyncIterator[asyncio.StreamReader]:
        """The body of an answer; HTTP/1.0, so that it comes as it is."""
        writer = None
        try:
            try:
                opening = asyncio.open_connection(self._host, self._port)
                reader, writer = await asyncio.wait_for(opening, ANSWER_SECONDS)
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {self._host}\r\n\r\n".encode())
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_SECONDS)
            except (OSError, asyncio.TimeoutError, *_BROKEN) as error:
                raise LiveAway from error
            if head.split(None, 2)[1:2] != [b"200"]:
                raise LiveAway
            yield reader
        finally:
            if writer is not None:
                writer.close()
