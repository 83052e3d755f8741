"""Who may see the page, and how much of the machine a visitor may take."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from fer_edge.outputs.address import is_loopback, same
from fer_edge.outputs.token_guesses import GuessLimit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

COOKIE: Final[str] = "fer_token"
OPEN_PATHS: Final = frozenset({"/healthz", "/favicon.ico", "/favicon.svg"})
"""These reveal nothing about anybody and need no token, so that a container's health check works without one."""
MAX_CONNECTIONS: Final[int] = 64
REQUEST_S: Final[float] = 10.0
"""A request must be complete this long after the connection or the previous request; slower ones are an attack
("slow loris")."""
STALL_S: Final[float] = 20.0
"""A visitor who reads nothing for this long is disconnected."""
MAX_HEADER_BYTES: Final[int] = 16_384
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_.~-]+)+")
"""No ``//`` at the start, which a browser would take for another host."""


class Guard:
    """Lets in who has the token; on this machine only, who asked for this machine by its own name.

    The latter is because a foreign page can point its own host name at 127.0.0.1 and then read what is served there
    ("DNS rebinding"); its requests carry that name. ``page`` is the text served at ``/``: no other script runs there.

    ``hosts`` are the host names of a reverse proxy in front. Only with one of them is ``X-Forwarded-Prefix`` read, and
    ``X-Forwarded-For``, by which guesses are counted, only from a proxy on this machine: any other visitor can write
    it, too.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], token: str | None, page: str, hosts: tuple[str, ...] = ()
    ) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)
        self._headers = security_headers(page)
        self._guesses = GuessLimit()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request, or hand it on (ASGI)."""
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, RedirectResponse

        if scope["type"] != "http":
            return
        path = self._path(Request(scope))
        scope = {**scope, "path": path, "raw_path": path.encode()}
        request = Request(scope)
        token = self._token
        response: Response | None = None
        if scope["path"] in OPEN_PATHS:
            pass
        elif token is None:
            name = asked_host(request.headers.get("host", ""))
            if not is_loopback(name) and name not in self._hosts:
                text = "open this page as http://127.0.0.1 or http://localhost; behind a proxy: --web-host NAME\n"
                response = PlainTextResponse(text, 403)
        elif (refusal := self._refusal(request, token)) is not None:
            response = PlainTextResponse(*refusal)
        elif request.url.path == "/" and "token" in request.query_params:
            # Without a path browsers take the folder of the address, which is right as well (RFC 6265, 5.1.4).
            prefix = self._prefix(request) or None
            # So that the token does not stay in the address bar.
            response = RedirectResponse(f"{prefix}/" if prefix else "./", 303)
            secure = bool(self._hosts) and request.headers.get("x-forwarded-proto", "") == "https"
            year_s = 365 * 86_400
            response.set_cookie(
                COOKIE, token, max_age=year_s, path=prefix, secure=secure, httponly=True, samesite="strict"
            )
        await (response or self._app)(scope, receive, self._with_headers(send))

    def _refusal(self, request: Request, token: str) -> tuple[str, int, dict[str, str]] | None:
        """Text, status and headers for who does not have the token; None for who has it."""
        given, address = _given_token(request), self._visitor(request)
        wait_s = self._guesses.wait_s(address) if given else 0
        if wait_s:  # not even compared, or waiting would not matter
            return f"too many wrong tokens; wait {wait_s} s\n", 429, {"Retry-After": str(wait_s)}
        if same(given, token):
            return None
        if given:
            self._guesses.wrong(address, given)
        return "a token is needed: /?token=...\n", 401, {"WWW-Authenticate": "Bearer"}

    def _path(self, request: Request) -> str:
        """What is asked for, also where a proxy leaves its own path in front or makes two slashes of one."""
        asked: str = request.scope["path"]
        prefix = self._prefix(request)
        if prefix and (asked == prefix or asked.startswith(f"{prefix}/")):
            asked = asked[len(prefix) :]
        return f"/{asked.lstrip('/')}"

    def _prefix(self, request: Request) -> str:
        """The path under which a proxy shows us, without a slash at its end."""
        given = request.headers.get("x-forwarded-prefix", "").rstrip("/") if self._hosts else ""
        return given if _PREFIX.fullmatch(given) else ""

    def _visitor(self, request: Request) -> str:
        """Whose guesses are counted: behind a proxy who asked it, which is the last one of the list."""
        direct = request.client.host if request.client else ""
        if not self._hosts or not is_loopback(direct):
            return direct
        return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or direct

    def _with_headers(self, send: Any) -> Any:
        async def wrapped(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self._headers]}
            await send(message)

        return wrapped


def asked_host(header: str) -> str:
    """The name in a ``Host`` header, lower case, without its port; empty for what is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _given_token(request: Request) -> str:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials
    return request.query_params.get("token") or request.cookies.get(COOKIE, "")


def security_headers(page: str) -> list[tuple[bytes, bytes]]:
    """Nothing is kept by browsers or proxies, nothing foreign is loaded, nothing but ``page``'s own script and style
    runs, no other page may frame or read this one."""

    def hashes(tag: str) -> str:
        blocks = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks)
        return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"

    policy = (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return [
        (b"cache-control", b"no-store"),
        (b"content-security-policy", policy.encode()),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
    ]


def limited_protocol() -> type[asyncio.Protocol]:
    """Uvicorn's HTTP protocol with limits that it lacks: connections, time for a request, time without reading."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class LimitedProtocol(H11Protocol):
        _request_timer: asyncio.TimerHandle | None = None
        _stall_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > MAX_CONNECTIONS:
                transport.abort()
                return
            self._await_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._await_request()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._await_request()

        def _await_request(self) -> None:
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering:
                _cancel(self._request_timer)
                self._request_timer = None
            elif self._request_timer is None and not self.transport.is_closing():
                self._request_timer = asyncio.get_running_loop().call_later(REQUEST_S, self.transport.abort)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stall_timer = asyncio.get_running_loop().call_later(STALL_S, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._stall_timer)

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._request_timer)
            _cancel(self._stall_timer)
            super().connection_lost(exc)

    return LimitedProtocol


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
