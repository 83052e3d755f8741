"""``--web``: a page to watch."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from fer_edge.logs import LOG
from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest


def host_name(text: str) -> str:
    """A type for argparse: a host name or an address, without scheme, port or path."""
    name = text.strip().lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[?[0-9a-f:.]+\]?", name):
        raise argparse.ArgumentTypeError(f"expected a name such as cams.example, no http://, no port, got {text!r}")
    return name.strip("[]")


def web_token(arguments: argparse.Namespace) -> str | None:
    """The token of the page and of the figures, from wherever it was given."""
    from fer_edge.outputs.secret import WEB_TOKEN, secret

    return arguments.web_token or secret("--web-token-file", arguments.web_token_file, WEB_TOKEN)


def open_web(request: OutputRequest) -> Output:
    """The server; its address is logged."""
    from fer_edge.outputs.address import parse_address, reachable
    from fer_edge.outputs.web import WebPage
    from fer_edge.outputs.web_state import WebOptions

    arguments = request.arguments
    host, port = parse_address(arguments.web, "--web")
    token = web_token(arguments)
    proxies = tuple(arguments.web_host or ())
    options = WebOptions(host, port, token, arguments.video, arguments.blur, history=arguments.history, proxies=proxies)
    page = WebPage(options, request.board, several=bool(request.cameras))
    if proxies and not token:
        LOG.info("--web-host without a token: whom the proxy lets in may watch")
    ending = "?token=..." if token else ""
    LOG.info("watch at " + " or ".join(f"http://{name}:{page.port}/{ending}" for name in reachable(page.host)))
    return page


OUTPUT = OutputSpec(
    name="web",
    options=(
        option(
            "--web",
            metavar="[HOST:]PORT",
            help="a page to watch, for example 8080 (this machine only) or 0.0.0.0:8080 (all, with a token)",
        ),
        option(
            "--web-token-file",
            metavar="FILE",
            help="require the token in the first line of this file, or in FER_WEB_TOKEN",
        ),
        option(
            "--web-token",
            metavar="T",
            help="the token itself; every user of this machine can read it on the command line",
        ),
        option(
            "--web-host",
            type=host_name,
            action="append",
            metavar="NAME",
            help="the page is behind a proxy that is asked by this name; may be repeated",
        ),
        option(
            "--video",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="pictures on the page (--no-video: numbers only)",
        ),
    ),
    open=open_web,
    rank=10,
)
