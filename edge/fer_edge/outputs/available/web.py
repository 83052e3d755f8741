"""``--web``: a page to watch."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Sink
    from fer_edge.outputs.output import Wanted


def web_token(arguments: argparse.Namespace) -> str | None:
    """The token of the page and of the figures, from wherever it was given."""
    from fer_edge.outputs.secret import WEB_TOKEN, secret

    return arguments.web_token or secret("--web-token-file", arguments.web_token_file, WEB_TOKEN)


def open_web(wanted: Wanted) -> Sink:
    """The server; its address is told."""
    from fer_edge.outputs.address import parse_address
    from fer_edge.outputs.web import WebOptions, WebPage

    arguments = wanted.arguments
    host, port = parse_address(arguments.web, "--web")
    options = WebOptions(host, port, web_token(arguments), arguments.video, arguments.blur)
    page = WebPage(options, wanted.board)
    wanted.notice(f"watch at http://{'[' + host + ']' if ':' in host else host}:{page.port}/")
    return page


OUTPUT = OutputSpec(
    name="web",
    options=(
        option("--web", metavar="HOST:PORT", help="a page to watch, for example 127.0.0.1:8080"),
        option(
            "--web-token",
            metavar="T",
            help="demand this token of visitors; needed on other addresses than 127.0.0.1 (or set FER_WEB_TOKEN)",
        ),
        option("--web-token-file", metavar="FILE", help="read that token from the first line of this file"),
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
