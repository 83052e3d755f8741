"""What announces a camera to Home Assistant: device-based discovery (home-assistant.io/integrations/mqtt, 2024.11).

One retained message describes the device with all its sensors. Before, each sensor had a message of its own: those are
migrated, so that history and settings of the sensors stay, and then removed from the broker.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from fer_edge._version import __version__
from fer_edge.labels import EMOTIONS
from fer_edge.outputs.camera_name import plain
from fer_edge.outputs.draw import UNCERTAIN

__all__ = ["DISCOVERY", "EXPIRE_S", "NOBODY", "device_message", "device_topic", "migration", "old_topics"]

NOBODY: Final[str] = "nobody"
EXPIRE_S: Final[int] = 30
"""Sensors without news for longer than this are shown as unavailable: the camera is lost, though we are here."""
DISCOVERY: Final[str] = "homeassistant"
_SENSORS: Final[dict[str, dict[str, Any]]] = {
    "emotion": {"name": "Emotion", "device_class": "enum", "options": [*EMOTIONS, UNCERTAIN, NOBODY]},
    "confidence": {"name": "Confidence", "unit_of_measurement": "%", "state_class": "measurement"},
    "faces": {"name": "Faces", "state_class": "measurement"},
    "fps": {
        "name": "Frames per second",
        "unit_of_measurement": "fps",
        "state_class": "measurement",
        "entity_category": "diagnostic",
    },
}


def device_topic(base: str) -> str:
    """Where the device is announced.

    Args:
        base: where our topics begin.

    Returns:
        The topic of the retained message.
    """
    return f"{DISCOVERY}/device/{_node(base)}/config"


def device_message(base: str, name: str = "") -> dict[str, Any]:
    """What announces the device and its sensors.

    Args:
        base: where our topics begin; decides the identity of the device.
        name: of the device, as people read it.

    Returns:
        The payload, for :func:`device_topic`.
    """
    node = _node(base)
    return {
        "device": {
            "identifiers": [node],
            "name": name or base.replace("/", " "),
            "model": "fer-camera",
            "manufacturer": "fer-edge",
            "sw_version": __version__,
        },
        "origin": {"name": "fer-camera", "sw_version": __version__},
        "components": {
            key: {
                "platform": "sensor",
                **sensor,
                "unique_id": f"{node}_{key}",
                "default_entity_id": f"sensor.{node.lower().replace('-', '_')}_{key}",
                "value_template": f"{{{{ value_json.{key} }}}}",
                "expire_after": EXPIRE_S,
            }
            for key, sensor in _SENSORS.items()
        },
        "state_topic": f"{base}/state",
        "availability_topic": f"{base}/availability",
        "qos": 0,
    }


def old_topics(base: str) -> list[str]:
    """Where earlier versions announced each sensor by itself.

    Args:
        base: where our topics begin.

    Returns:
        The topics, whose retained messages are to go.
    """
    return [f"{DISCOVERY}/sensor/{_node(base)}/{key}/config" for key in _SENSORS]


def migration() -> str:
    """What hands a sensor over from its own message to that of the device, sent to its old topic.

    Returns:
        The payload.
    """
    return json.dumps({"migrate_discovery": True})


def _node(base: str) -> str:
    node = plain(base)
    if node != base.replace("/", "_"):  # two bases may come out the same
        node = f"{node}_{hashlib.sha256(base.encode()).hexdigest()[:6]}"
    return node
