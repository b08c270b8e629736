"""Runs the application until it is stopped."""

from __future__ import annotations

import sys

import uvicorn

from stadet.engine.errors import UserError
from stadet.engine.folder_lock import folder_lock
from stadet.tools.service.app import make_app
from stadet.tools.service.settings import ServiceSettings


def serve(settings: ServiceSettings) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        UserError: where the port is taken, or another service works in the same folder.
    """
    config = uvicorn.Config(
        make_app(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_keep_alive=30,
        limit_concurrency=200,
        timeout_graceful_shutdown=3,  # pictures and progress would go on for ever
    )
    server = uvicorn.Server(config)
    with folder_lock(settings.data, "serving from there"):
        try:
            sockets = [config.bind_socket()]
        except (OSError, SystemExit) as error:
            raise UserError(
                f"--port {settings.port}: expected a free port at {settings.host}, found it taken "
                "or not allowed; choose another"
            ) from error
        sockets[0].listen(2048)  # who reads the address below may connect at once
        host, port = sockets[0].getsockname()[:2]
        print(f"stad serve: http://{host}:{port}/", file=sys.stderr, flush=True)
        server.run(sockets)
