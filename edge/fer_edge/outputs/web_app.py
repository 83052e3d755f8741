"""What the page answers: its routes, for one camera or for several."""

from __future__ import annotations

import asyncio
import html
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fer_edge.outputs.history import read_history
from fer_edge.outputs.prometheus import CONTENT_TYPE, cameras_text, metrics_text
from fer_edge.outputs.status import Status
from fer_edge.outputs.web_guard import Guard
from fer_edge.outputs.web_state import PREVIEW_FPS, TILE_FPS, State, WebOptions

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

PAGE: Final[Path] = Path(__file__).with_name("web_page.html")
GRID: Final[Path] = Path(__file__).with_name("web_grid.html")
NO_VIDEO: Final[str] = "pictures are switched off (--no-video)\n"
ICON: Final[str] = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="#fac832"/>'
    '<circle cx="11" cy="13" r="2"/><circle cx="21" cy="13" r="2"/>'
    '<path d="M9 20q7 6 14 0" fill="none" stroke="#000" stroke-width="2"/></svg>'
)
EVENTS_PER_S: Final[float] = 10.0
KEEPALIVE_S: Final[float] = 2.0
AT_ONCE: Final = {"X-Accel-Buffering": "no"}
"""For nginx: pass data on at once instead of filling a buffer first."""
NOTHING: Final[str] = (
    "nothing at this address; behind a proxy under a path, end both location and proxy_pass with a slash, "
    "or send X-Forwarded-Prefix and give --web-host\n"
)


def make_app(state: State) -> Starlette:
    """The page of one camera."""
    page = page_text(state.options)
    routes = [
        *shared_routes(state.board.now, lambda: figures(state)),
        *camera_routes(page, lambda _: state),
    ]
    return guarded_app(routes, state.options, page)


def figures(state: State) -> str:
    """For Prometheus."""
    return metrics_text(state.board.now(), state.counter.counts)


def page_text(options: WebOptions) -> str:
    """The page, with what it has to know."""
    return PAGE.read_text(encoding="utf-8").replace("%VIDEO%", "true" if options.video else "false")


def guarded_app(routes: list[Route], options: WebOptions, pages: str) -> Starlette:
    """The routes behind the guard; ``pages`` is the text of all pages, whose scripts may run."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse

    async def nothing(*_: Any) -> Response:
        return PlainTextResponse(NOTHING, 404)

    guard = Middleware(Guard, token=options.token, page=pages, hosts=options.proxies)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={404: nothing})


def shared_routes(status: Callable[[], Status], figures: Callable[[], str]) -> list[Route]:
    """What is there once, however many cameras there are."""
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    async def healthz(_: Request) -> Response:
        now = status()
        return JSONResponse({"healthy": now.healthy, "state": now.state}, 200 if now.healthy else 503)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(figures(), headers={"Content-Type": CONTENT_TYPE})

    async def icon(_: Request) -> Response:
        return Response(ICON, media_type="image/svg+xml")

    return [
        Route("/favicon.svg", icon),
        Route("/favicon.ico", icon),
        Route("/healthz", healthz),
        Route("/metrics", metrics),
    ]


def camera_routes(page: str, state_of: Callable[[Request], State], prefix: str = "") -> list[Route]:
    """What is there for a camera; ``state_of`` gives that of a request, or raises for an unknown one."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    async def index(request: Request) -> Response:
        return HTMLResponse(titled(page, state_of(request).camera))

    async def api_faces(request: Request) -> Response:
        return JSONResponse(state_of(request).snapshot())

    async def api_timeline(request: Request) -> Response:
        return JSONResponse(state_of(request).ages())

    async def api_history(request: Request) -> Response:
        state = state_of(request)
        if state.options.history is None:
            return PlainTextResponse("no history is kept (--history FILE)\n", 404)
        return JSONResponse(await run_in_threadpool(read_history, state.options.history, state.camera, time.time()))

    async def events(request: Request) -> Response:
        return StreamingResponse(_events(state_of(request)), media_type="text/event-stream", headers=AT_ONCE)

    async def picture(request: Request) -> Response:
        state = state_of(request)
        state.tile_until = time.monotonic() + 3.0
        if not state.options.video:
            return PlainTextResponse(NO_VIDEO, 404)
        if state.jpeg is None:  # the first one is on its way
            return Response(status_code=204)
        return Response(state.jpeg, media_type="image/jpeg")

    async def video(request: Request) -> Response:
        state = state_of(request)
        if not state.options.video:
            return PlainTextResponse(NO_VIDEO, 404)
        kind = "multipart/x-mixed-replace; boundary=frame"
        return StreamingResponse(_pictures(state), media_type=kind, headers=AT_ONCE)

    return [
        Route(f"{prefix}/", index),
        Route(f"{prefix}/api/faces", api_faces),
        Route(f"{prefix}/api/timeline", api_timeline),
        Route(f"{prefix}/api/history", api_history),
        Route(f"{prefix}/events", events),
        Route(f"{prefix}/picture", picture),
        Route(f"{prefix}/video", video),
    ]


def titled(page: str, camera: str) -> str:
    """The page of one of several cameras says which one it is, and leads back to all."""
    if not camera:
        return page
    name = html.escape(camera)
    return page.replace("<title>fer-camera", f"<title>{name}").replace(
        "<h1>fer-camera</h1>", f'<h1><a href="../../">all cameras</a> {name}</h1>'
    )


def make_cameras_app(everybody: State, cameras: dict[str, State]) -> Starlette:
    """The grid of several cameras, and the page of each at ``/camera/NAME/``."""
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
    from starlette.routing import Route

    options = everybody.options
    page = page_text(options)
    grid = GRID.read_text(encoding="utf-8").replace("%VIDEO%", "true" if options.video else "false")

    def state_of(request: Request) -> State:
        state = cameras.get(request.path_params["name"])
        if state is None:
            raise HTTPException(404)
        return state

    async def index(_: Request) -> Response:
        return HTMLResponse(grid)

    async def api_cameras(_: Request) -> Response:
        return JSONResponse(together_snapshot(cameras))

    async def events(_: Request) -> Response:
        stream = _grid_events(everybody, cameras)
        return StreamingResponse(stream, media_type="text/event-stream", headers=AT_ONCE)

    def all_figures() -> str:
        return cameras_text([(name, state.board.now(), state.counter.counts) for name, state in list(cameras.items())])

    routes = [
        Route("/", index),
        Route("/api/cameras", api_cameras),
        Route("/events", events),
        *shared_routes(everybody.board.now, all_figures),
        *camera_routes(page, state_of, "/camera/{name}"),
    ]
    return guarded_app(routes, options, page + grid)


def together_snapshot(cameras: dict[str, State]) -> list[dict[str, Any]]:
    """What the grid shows of each camera, in order."""
    return [{"camera": name, **state.snapshot()} for name, state in list(cameras.items())]


async def _grid_events(everybody: State, cameras: dict[str, State]) -> AsyncIterator[str]:
    """Server-sent events: all cameras, twice per second."""
    yield "retry: 1000\n\n"
    while not everybody.stopping:
        yield f"data: {json.dumps(together_snapshot(cameras))}\n\n"
        await asyncio.sleep(1.0 / TILE_FPS)


async def _events(state: State) -> AsyncIterator[str]:
    """Server-sent events: a snapshot whenever there is something new, and now and then when there is not."""
    seen, sent_at = -1, 0.0
    yield "retry: 1000\n\n"
    while not state.stopping:
        now = time.monotonic()
        if state.version != seen or now - sent_at > KEEPALIVE_S:
            seen, sent_at = state.version, now
            yield f"data: {json.dumps(state.snapshot())}\n\n"
        await asyncio.sleep(1.0 / EVENTS_PER_S)


async def _pictures(state: State) -> AsyncIterator[bytes]:
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
