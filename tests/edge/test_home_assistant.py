"""How Home Assistant finds a camera, and what becomes of the messages of earlier versions."""

from __future__ import annotations

import re
import time

from tests.edge.mqtt_broker import Broker, board, result, wait_for

from fer_edge.outputs.home_assistant import device_message, device_topic, old_topics
from fer_edge.outputs.mqtt import MqttPublisher, parse_broker, state_of


def test_discovery_as_home_assistant_wants_it() -> None:
    """home-assistant.io/integrations/mqtt, "Device discovery payload": device, origin and components are required."""
    message = device_message("fer-camera/door cam")
    prefix, kind, node, end = device_topic("fer-camera/door cam").split("/")
    assert (prefix, kind, end) == ("homeassistant", "device", "config")
    assert node.replace("_", "").replace("-", "").isalnum()
    assert message["device"]["identifiers"] == [node]
    assert message["origin"]["name"] == "fer-camera"
    assert message["state_topic"] == "fer-camera/door cam/state"
    assert message["availability_topic"] == "fer-camera/door cam/availability"
    components = message["components"]
    assert set(components) == set(state_of(result(), 0.0))
    assert len({component["unique_id"] for component in components.values()}) == 4
    for key, component in components.items():
        assert component["platform"] == "sensor"
        assert component["value_template"] == f"{{{{ value_json.{key} }}}}"
        assert component["expire_after"] == 30  # a lost camera must not look like a steady emotion
        assert re.fullmatch(r"sensor\.[a-z0-9_]+", component["default_entity_id"])
        assert "object_id" not in component
    assert set(components["emotion"]["options"]) >= {"happy", "uncertain", "nobody"}
    # The same as in the messages of each sensor, so that Home Assistant takes them for the same.
    assert components["fps"]["unique_id"] == f"{old_topics('fer-camera/door cam')[3].split('/')[2]}_fps"


def test_messages_of_earlier_versions_are_migrated_and_removed(broker: Broker, heard: dict[str, list[bytes]]) -> None:
    """In the order that Home Assistant demands: first the migration, then the device, then the old ones go."""
    from paho.mqtt import client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    earlier = mqtt.Client(CallbackAPIVersion.VERSION2)
    earlier.connect("127.0.0.1", broker.port)
    earlier.loop_start()
    for topic in old_topics("cam")[:3]:
        earlier.publish(topic, b"{}", qos=1, retain=True).wait_for_publish(5)
    wait_for(lambda: all(topic in heard for topic in old_topics("cam")[:3]))
    order: list[str] = []
    earlier.on_message = lambda _c, _u, message: order.append(f"{message.topic} {message.payload.decode()[:22]}")
    earlier.subscribe("homeassistant/#", qos=1)
    wait_for(lambda: len(order) == 3)
    sink = MqttPublisher(parse_broker(f"mqtt://127.0.0.1:{broker.port}/cam"), board())
    wait_for(lambda: len(order) == 10)
    assert all('{"migrate_discovery": ' in line for line in order[3:6])
    assert order[6].startswith(device_topic("cam"))
    assert sorted(order[7:]) == sorted(f"{topic} " for topic in old_topics("cam")[:3])
    assert old_topics("cam")[3] not in heard  # there was none
    sink.forget()
    sink.close()
    wait_for(lambda: heard[device_topic("cam")][-1] == b"")
    kept: list[str] = []
    late = mqtt.Client(CallbackAPIVersion.VERSION2)
    late.on_message = lambda _c, _u, message: kept.append(message.topic)
    late.connect("127.0.0.1", broker.port)
    late.subscribe("#", qos=1)
    late.loop_start()
    time.sleep(0.5)
    assert kept == []
    for client in (earlier, late):
        client.disconnect()
        client.loop_stop()
