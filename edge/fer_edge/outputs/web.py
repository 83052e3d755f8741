"""A page to watch: live picture, bars of the seven probabilities, a timeline; also ``/api/faces``, ``/events``,
``/healthz`` and ``/metrics``. Needs the extra ``web`` (Starlette on Uvicorn, both pure Python).

Only this machine can open it by default; any other address requires a token.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2

from fer_edge.errors import MissingDependencyError, UsageError
from fer_edge.outputs.address import is_loopback, listen
from fer_edge.outputs.draw import UNCERTAIN, annotate, shrunk
from fer_edge.outputs.prometheus import CONTENT_TYPE, EmotionCounter, metrics_text
from fer_edge.outputs.status import StatusBoard
from fer_edge.outputs.web_guard import MAX_HEADER_BYTES, Guard, limited_protocol
from fer_edge.results import Result

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

PAGE: Final[Path] = Path(__file__).with_name("web_page.html")
ICON: Final[str] = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="#fac832"/>'
    '<circle cx="11" cy="13" r="2"/><circle cx="21" cy="13" r="2"/>'
    '<path d="M9 20q7 6 14 0" fill="none" stroke="#000" stroke-width="2"/></svg>'
)
PREVIEW_FPS: Final[float] = 15.0
PREVIEW_WIDTH: Final[int] = 960
PREVIEW_QUALITY: Final[int] = 80
EVENTS_PER_S: Final[float] = 10.0
KEEPALIVE_S: Final[float] = 2.0
AT_ONCE: Final = {"X-Accel-Buffering": "no"}
"""For nginx: pass data on at once instead of filling a buffer first."""
TIMELINE_S: Final[float] = 300.0
TIMELINE_STEP_S: Final[float] = 0.5


@dataclass(frozen=True)
class WebOptions:
    """How the page is served."""

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    """Required of every visitor, if set; must be set unless ``host`` is this machine only."""
    video: bool = True
    """False: numbers only, pictures are never sent."""
    blur: bool = False
    proxies: tuple[str, ...] = ()
    """Host names of a reverse proxy in front: accepted as ``Host``, and its ``X-Forwarded-`` headers are read."""


NOTHING: Final[str] = (
    "nothing at this address; behind a proxy under a path, end both location and proxy_pass with a slash, "
    "or send X-Forwarded-Prefix and give --web-host\n"
)


class WebPage:
    """The page and its server, on a thread of their own; takes results as any output does."""

    name = "web page"
    lossless = False

    def __init__(self, options: WebOptions, board: StatusBoard) -> None:
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
        self.state = _State(options, board)
        self._socket = listen(options.host, options.port, "--web")
        self.host, self.port = str(self._socket.getsockname()[0]), int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            make_app(self.state),
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

    def write(self, result: Result) -> None:
        """Show a result from now on."""
        small = self.state.take(result)
        del result  # its large picture is of no use any more
        if small is not None:
            self.state.show(small)

    def close(self) -> None:
        """Disconnect the visitors and stop serving."""
        self.state.stopping = True
        self._server.should_exit = True
        self._thread.join(5.0)
        self._socket.close()


class _State:
    """What the page shows; written by the output's thread, read by the server's."""

    def __init__(self, options: WebOptions, board: StatusBoard) -> None:
        self.options = options
        self.board = board
        self.counter = EmotionCounter()
        self.stopping = False
        self.version = 0
        self.faces: dict[str, Any] = {"frame": None, "time_s": None, "faces": []}
        self.jpeg: bytes | None = None
        self.jpeg_version = 0
        self.viewers = 0
        self.timeline: deque[tuple[float, dict[int, tuple[str, float]]]] = deque(
            maxlen=int(TIMELINE_S / TIMELINE_STEP_S)
        )
        """``(monotonic time, {track id: (emotion, its probability)})``, oldest first."""
        self._next_jpeg = 0.0
        self._next_mark = 0.0

    def take(self, result: Result) -> Result | None:
        """Note a result; gives it with a small picture where that is to be shown."""
        now = time.monotonic()
        self.counter.add(result)
        self.faces = {**result.as_dict(), "width": result.image.shape[1], "height": result.image.shape[0]}
        self.version += 1
        if now >= self._next_mark:
            self._next_mark = now + TIMELINE_STEP_S
            faces = {
                face.track_id: (face.emotion or UNCERTAIN, round(float(face.probabilities.max()), 3))
                for face in result.faces
            }
            self.timeline.append((now, faces))
        if self.options.video and self.viewers and now >= self._next_jpeg:
            self._next_jpeg = now + 1.0 / PREVIEW_FPS
            return shrunk(result, PREVIEW_WIDTH)
        return None

    def show(self, small: Result) -> None:
        self.jpeg = encode_preview(small, blur=self.options.blur)
        self.jpeg_version += 1

    def snapshot(self) -> dict[str, Any]:
        return {**self.faces, "status": self.board.now().as_dict()}


def encode_preview(result: Result, *, blur: bool) -> bytes:
    """The annotated frame as JPEG, at most :data:`PREVIEW_WIDTH` pixels wide."""
    image = annotate(shrunk(result, PREVIEW_WIDTH), blur=blur)  # so that no large picture is copied
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])[1]
    return encoded.tobytes()


def make_app(state: _State) -> Starlette:
    """The routes."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    page = PAGE.read_text(encoding="utf-8").replace("%VIDEO%", "true" if state.options.video else "false")

    async def index(_: Request) -> Response:
        return HTMLResponse(page)

    async def api_faces(_: Request) -> Response:
        return JSONResponse(state.snapshot())

    async def api_timeline(_: Request) -> Response:
        # How long ago, because neither the clock of this machine nor that of the visitor need be right.
        now, wall = time.monotonic(), time.time()
        ages = [(now - moment, faces) for moment, faces in list(state.timeline)]
        return JSONResponse([{"t": round(wall - age, 2), "ago_s": round(age, 2), "faces": f} for age, f in ages])

    async def events(_: Request) -> Response:
        return StreamingResponse(_events(state), media_type="text/event-stream", headers=AT_ONCE)

    async def video(_: Request) -> Response:
        if not state.options.video:
            return PlainTextResponse("pictures are switched off (--no-video)\n", 404)
        kind = "multipart/x-mixed-replace; boundary=frame"
        return StreamingResponse(_pictures(state), media_type=kind, headers=AT_ONCE)

    async def healthz(_: Request) -> Response:
        status = state.board.now()
        code = 200 if status.healthy else 503
        return JSONResponse({"healthy": status.healthy, "state": status.state}, code)

    async def metrics(_: Request) -> Response:
        text = metrics_text(state.board.now(), state.counter.counts)
        return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE})

    async def nothing(*_: Any) -> Response:
        return PlainTextResponse(NOTHING, 404)

    async def icon(_: Request) -> Response:
        return Response(ICON, media_type="image/svg+xml")

    routes = [
        Route("/", index),
        Route("/favicon.svg", icon),
        Route("/favicon.ico", icon),
        Route("/api/faces", api_faces),
        Route("/api/timeline", api_timeline),
        Route("/events", events),
        Route("/video", video),
        Route("/healthz", healthz),
        Route("/metrics", metrics),
    ]
    guard = Middleware(Guard, token=state.options.token, page=page, hosts=state.options.proxies)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={404: nothing})


async def _events(state: _State) -> AsyncIterator[str]:
    """Server-sent events: a snapshot whenever there is something new, and now and then when there is not."""
    seen, sent_at = -1, 0.0
    yield "retry: 1000\n\n"
    while not state.stopping:
        now = time.monotonic()
        if state.version != seen or now - sent_at > KEEPALIVE_S:
            seen, sent_at = state.version, now
            yield f"data: {json.dumps(state.snapshot())}\n\n"
        await asyncio.sleep(1.0 / EVENTS_PER_S)


async def _pictures(state: _State) -> AsyncIterator[bytes]:
    """Motion JPEG: always the newest picture; a slow visitor sees fewer, not older ones."""
    state.viewers += 1
    seen = state.jpeg_version if state.jpeg is None else -1
    try:
        while not state.stopping:
            if state.jpeg is not None and state.jpeg_version != seen:
                seen, jpeg = state.jpeg_version, state.jpeg
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                yield head.encode() + jpeg + b"\r\n"
            await asyncio.sleep(0.5 / PREVIEW_FPS)
    finally:
        state.viewers -= 1
