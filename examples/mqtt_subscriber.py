"""Prints what a camera publishes: python examples/mqtt_subscriber.py localhost 1883 fer

Beside it runs: fer-camera 0 --headless --mqtt mqtt://localhost:1883/fer   (pip install paho-mqtt)
"""

from __future__ import annotations

import json
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

host, port, base = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def subscribe(client: mqtt.Client, *_: Any) -> None:
    client.subscribe(f"{base}/faces")


def show(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
    for face in json.loads(message.payload)["faces"]:
        print(face["track_id"], face["emotion"], face["box"], flush=True)


client = mqtt.Client(CallbackAPIVersion.VERSION2)
client.on_connect = subscribe  # again after every reconnection
client.on_message = show
client.connect(host, port)
client.loop_forever()
