"""Ray for the time of a fleet: on this machine, or a cluster that runs already."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import stadet
from stadet.engine.errors import UserError
from stadet.engine.stop import SIGNALS
from stadet.tools.cluster.urls import first_line

STORE_BYTES = 128 << 20  # of shared memory, beside the checkpoint: results go to files
PROBE_SECONDS = 5.0


@contextlib.contextmanager
def ray_session(address: str | None = None, *, checkpoint_bytes: int = 0) -> Iterator[ModuleType]:
    """Ray, connected for the block's time.

    address: of a cluster, "HOST:PORT" or "auto" (that which runs on this machine); None: processes
    of this machine alone, which end with this one. A program that is connected already stays so.

    Nothing is reported to Ray's makers, and no dashboard is served. Processes of this machine
    alone take no orders without a token drawn for them, unless the program has imported ray before.

    UserError where Ray is not installed or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a warning of Ray's
    named = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if address is None and not named and "ray" not in sys.modules:  # it reads the mode once
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        import ray
    except ImportError:
        raise UserError("stad fleet needs the package ray; pip install 'stadet[fleet]'") from None
    if ray.is_initialized():
        yield ray
        return
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    with contextlib.ExitStack() as stack:
        if address is None:
            # for logs and sockets; in /tmp as the names of sockets must be short
            kept = tempfile.TemporaryDirectory("", "stad-ray-", "/tmp", ignore_cleanup_errors=True)
            folder = stack.enter_context(kept)
            with _importable(), _handlers_kept():
                try:
                    ray.init(
                        include_dashboard=False,
                        object_store_memory=STORE_BYTES + 2 * checkpoint_bytes,
                        _temp_dir=folder,
                        **common,
                    )
                except Exception as error:  # of many kinds
                    raise UserError(f"Ray could not be started: {first_line(error)}") from error
        else:
            _probe(address)
            try:
                with _handlers_kept():
                    ray.init(address=address, **common)
            except Exception as error:  # of many kinds
                raise _unreachable(address, error) from error
        stack.callback(ray.shutdown)
        yield ray


def _probe(address: str) -> None:
    """UserError at once, instead of after minutes, where nothing listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal():
        raise UserError(f"--address: expected HOST:PORT or auto, found {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> UserError:
    return UserError(
        f"--address {address}: expected a Ray cluster of this version there, found none "
        f"({first_line(error)}); start one with `ray start --head "
        "--include-dashboard=false`, or leave --address out for this machine alone"
    )


@contextlib.contextmanager
def _importable() -> Iterator[None]:
    """Processes started in the block import the `stadet` that this one does."""
    own = str(Path(stadet.__file__).resolve().parent.parent)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = own if not before else f"{own}{os.pathsep}{before}"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; here requests to stop are answered as by every verb."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
