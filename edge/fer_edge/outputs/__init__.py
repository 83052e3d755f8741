"""Where recognised faces go: one file an output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.outputs.available import outputs
    from fer_edge.outputs.base import Output, OutputRunner
    from fer_edge.outputs.open import check_targets, open_outputs
    from fer_edge.outputs.output import STDOUT, OutputRequest, OutputSpec, option
    from fer_edge.outputs.secret import MQTT_PASSWORD, WEB_TOKEN
    from fer_edge.outputs.status import Status, StatusBoard
    from fer_edge.outputs.window import Window

__all__ = [
    "MQTT_PASSWORD",
    "STDOUT",
    "WEB_TOKEN",
    "Output",
    "OutputRequest",
    "OutputRunner",
    "OutputSpec",
    "Status",
    "StatusBoard",
    "Window",
    "check_targets",
    "open_outputs",
    "option",
    "outputs",
]

_HOMES: Final[dict[str, str]] = {
    "outputs": "fer_edge.outputs.available",
    "Output": "fer_edge.outputs.base",
    "OutputRunner": "fer_edge.outputs.base",
    "check_targets": "fer_edge.outputs.open",
    "open_outputs": "fer_edge.outputs.open",
    "STDOUT": "fer_edge.outputs.output",
    "OutputSpec": "fer_edge.outputs.output",
    "OutputRequest": "fer_edge.outputs.output",
    "option": "fer_edge.outputs.output",
    "MQTT_PASSWORD": "fer_edge.outputs.secret",
    "WEB_TOKEN": "fer_edge.outputs.secret",
    "Status": "fer_edge.outputs.status",
    "StatusBoard": "fer_edge.outputs.status",
    "Window": "fer_edge.outputs.window",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
