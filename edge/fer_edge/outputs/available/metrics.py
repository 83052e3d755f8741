"""``--metrics``: figures for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_edge.logs import LOG
from fer_edge.outputs.available.web import web_token
from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest


def open_metrics(request: OutputRequest) -> Output:
    """The server; the token of the page holds for it, too."""
    from fer_edge.outputs.address import parse_address, reachable
    from fer_edge.outputs.prometheus import MetricsServer

    arguments = request.arguments
    server = MetricsServer(parse_address(arguments.metrics, "--metrics"), request.board, web_token(arguments))
    names = " or ".join(f"http://{name}:{server.port}/metrics" for name in reachable(server.host))
    LOG.info(f"metrics for Prometheus at {names}")
    return server


OUTPUT = OutputSpec(
    name="metrics",
    options=(option("--metrics", metavar="[HOST:]PORT", help="metrics for Prometheus at /metrics"),),
    open=open_metrics,
    rank=20,
)
