"""A page to watch: live picture, bars of the seven probabilities, a timeline; also ``/api/faces``, ``/events``,
``/healthz`` and ``/metrics``. Needs the extra ``web`` (Starlette on Uvicorn, both pure Python).

Only this machine can open it by default; any other address requires a token.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace

from fer_edge.errors import MissingDependencyError, UsageError
from fer_edge.outputs.address import is_loopback, listen
from fer_edge.outputs.base import Output
from fer_edge.outputs.status import StatusBoard
from fer_edge.outputs.web_app import make_app, make_cameras_app
from fer_edge.outputs.web_guard import MAX_HEADER_BYTES, limited_protocol
from fer_edge.outputs.web_state import State, WebOptions
from fer_edge.results import Result


class WebPage:
    """The page and its server, on a thread of their own; takes results as any output does."""

    name = "web page"
    lossless = False
    lets_go = True

    def __init__(self, options: WebOptions, board: StatusBoard, *, several: bool = False) -> None:
        try:
            import starlette  # noqa: F401
            import uvicorn
        except ImportError as error:
            raise MissingDependencyError.for_extra(error.name or "starlette", "web") from error
        if not is_loopback(options.host) and not options.token:
            raise UsageError(
                f"--web {options.host}:{options.port} can be reached from other machines and so needs "
                "--web-token-file FILE, or the token in the environment, for example "
                f"FER_WEB_TOKEN={secrets.token_urlsafe(12)}"
            )
        self.options = options
        self.state = State(options, board)
        self.cameras: dict[str, State] = {}
        """What is shown of each of several cameras."""
        self._socket = listen(options.host, options.port, "--web")
        self.host, self.port = str(self._socket.getsockname()[0]), int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            make_cameras_app(self.state, self.cameras) if several else make_app(self.state),
            http=limited_protocol(),
            ws="none",
            lifespan="off",
            # No line for a request: addresses may hold the token. Uvicorn's own configuration of logging would close
            # the handlers of everybody else in the process.
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="fer-web", daemon=True
        )
        self._thread.start()

    def of_camera(self, name: str, board: StatusBoard, *, blur: bool) -> Output:
        """See :meth:`fer_edge.outputs.shared.OfCameras.of_camera`."""
        self.cameras[name] = State(replace(self.options, blur=blur), board, name)
        return _Tile(self.cameras, self.cameras[name])

    def write(self, result: Result) -> None:
        """Show a result from now on."""
        small = self.state.take(result)
        del result  # its large picture is of no use any more
        if small is not None:
            self.state.show(small)

    def close(self) -> None:
        """Disconnect the visitors and stop serving."""
        for state in (self.state, *self.cameras.values()):
            state.stopping = True
        self._server.should_exit = True
        self._thread.join(5.0)
        self._socket.close()


class _Tile:
    """One camera's place on the page."""

    name = "web page"
    lossless = False

    def __init__(self, cameras: dict[str, State], state: State) -> None:
        self._cameras = cameras
        self._state = state

    def write(self, result: Result) -> None:
        small = self._state.take(result)
        del result
        if small is not None:
            self._state.show(small)

    def forget(self) -> None:
        """The camera is gone for good."""
        if self._cameras.get(self._state.camera) is self._state:
            del self._cameras[self._state.camera]

    def close(self) -> None:
        """The last picture stays, with the state of the camera."""
