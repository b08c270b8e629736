"""Files by URL (`s3://`, `gs://`, any of fsspec's): what goes wrong with them, in words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stadet.engine.errors import UserError
from stadet.engine.machine_errors import machine_error

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs"}
_UNREACHABLE = (
    *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "HTTPClientError"),
    *("ClientConnectorError", "ServerTimeoutError", "IncompleteRead", "ClientPayloadError"),
)


class Unreachable(UserError):
    """A server that did not answer: worth another try."""


def local_path(place: str) -> Path | None:
    """The path that a place on this machine's file system means (`file://` included), or None."""
    if place.startswith("file://"):
        return Path(place.removeprefix("file://"))
    return None if _URL.match(place) else Path(place)


def file_system(url: str) -> Any:
    """The fsspec file system of a URL. UserError where the package for it is missing."""
    scheme = url.partition("://")[0].lower()
    try:
        import fsspec

        return fsspec.filesystem(scheme)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        raise UserError(
            f"{url}: {scheme}:// needs the package {package or f'of fsspec for it ({error})'}"
            f"{f'; pip install {package}' if package else ''}"
        ) from None
    except ValueError:
        raise UserError(
            f"{url}: expected a path or a URL such as s3://, gs:// or file://, found {scheme}://"
        ) from None


@contextlib.contextmanager
def telling(url: str, doing: str) -> Iterator[None]:
    """What a server or a disk refuses as one line that names the URL; `doing` is "read" or
    "write"."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise _told(error, url, doing) from error


def _told(error: Exception, url: str, doing: str) -> Exception:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, PermissionError):
        return UserError(f"cannot {doing} {url}: permission denied; ask for it, or use other keys")
    if isinstance(error, FileNotFoundError):
        return UserError(f"cannot {doing} {url}: there is nothing of that name (any more)")
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}:
        return UserError(f"cannot {doing} {url}: no credentials were found ({error})")
    if isinstance(error, (ConnectionError, TimeoutError)) or kinds & set(_UNREACHABLE):
        return Unreachable(
            f"cannot {doing} {url}: its server does not answer ({first_line(error)})"
        )
    if (line := machine_error(error)) is not None:
        return UserError(line)
    if isinstance(error, OSError) or "ClientError" in kinds:
        return Unreachable(f"cannot {doing} {url}: {first_line(error)}")
    return error


def first_line(error: Exception) -> str:
    """What an error says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
