"""``--mqtt``: answers to a broker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest


def camera_name(text: str) -> str:
    """See :func:`fer_edge.outputs.camera_name.camera_name`, which is loaded only when it is needed."""
    from fer_edge.outputs.camera_name import camera_name as checked

    return checked(text)


def open_mqtt(request: OutputRequest) -> Output:
    """The connection; it comes back by itself when it is lost."""
    from fer_edge.outputs.camera_name import default_name, plain
    from fer_edge.outputs.mqtt import MqttPublisher, parse_broker
    from fer_edge.outputs.secret import MQTT_PASSWORD, secret

    arguments = request.arguments
    password = secret("--mqtt-password-file", arguments.mqtt_password_file, MQTT_PASSWORD)
    broker = parse_broker(arguments.mqtt, password, name=arguments.name or default_name(arguments.source))
    if request.cameras and broker.own_topic:
        # A topic of its own for each of several cameras.
        broker = replace(broker, base=f"{broker.base}/{plain(arguments.name)}")
    return MqttPublisher(broker, request.board, ca_file=arguments.mqtt_ca)


OUTPUT = OutputSpec(
    name="mqtt",
    options=(
        option(
            "--mqtt",
            metavar="URL",
            help="mqtt[s]://[USER@]HOST[:PORT][/TOPIC]; password from FER_MQTT_PASSWORD",
        ),
        option(
            "--name",
            type=camera_name,
            metavar="NAME",
            help="of this camera, for the topics of --mqtt and Home Assistant (default: made of host and source)",
        ),
        option("--mqtt-password-file", metavar="FILE", help="read that password from the first line of this file"),
        option(
            "--mqtt-ca", metavar="FILE", help="certificates (PEM) to trust for mqtts:// (default: those of the system)"
        ),
    ),
    open=open_mqtt,
    of_each_camera=True,
    rank=30,
)
