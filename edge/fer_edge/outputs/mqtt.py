"""Results to an MQTT broker, with sensors that Home Assistant finds by itself. Needs the extra ``mqtt`` (paho).

Topics below ``BASE`` (the path of the address, else ``fer-camera/NAME``; ``NAME`` is ``--name``, else it is made of
host and source, so that two cameras on one machine differ):

- ``BASE/availability``: ``online`` or ``offline``, retained; ``offline`` is the last will;
- ``BASE/faces``: the JSON line of a frame, at most twice per second;
- ``BASE/state``: ``{"emotion", "confidence", "faces", "fps"}`` of the largest face, once per second, for the sensors.

Numbers and names only: no picture is ever sent.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from fer_edge.errors import MissingDependencyError, UsageError
from fer_edge.logs import LOG
from fer_edge.outputs.address import is_loopback
from fer_edge.outputs.camera_name import plain
from fer_edge.outputs.draw import UNCERTAIN
from fer_edge.outputs.home_assistant import NOBODY, device_message, device_topic, migration, old_topics
from fer_edge.outputs.status import StatusBoard
from fer_edge.redact import split_userinfo
from fer_edge.results import Result

FACES_EVERY_S: Final[float] = 0.5
STATE_EVERY_S: Final[float] = 1.0
RETRY_S: Final = (1, 60)
TAKEN_OVER: Final[int] = 0x8E
"""Reason code "Session taken over" (MQTT 5, 4.13): another client connected under our id."""
UNSUPPORTED_PROTOCOL: Final[int] = 0x84
MQTT_3_1_1: Final[int] = 4
"""Its level in a CONNECT packet; an older broker that refuses MQTT 5 gets this."""
CLASH_S: Final[float] = 5.0
CLASHES: Final[int] = 3
"""MQTT 3 gives no reason: this many losses in a row, each within :data:`CLASH_S` of connecting, mean the same."""
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Broker:
    """Where and as whom to connect."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None
    base: str
    name: str = ""
    """Of the camera, as Home Assistant shows it."""
    own_topic: bool = False
    """Whether the address holds the topic, so that the name does not change it."""


def parse_broker(address: str, password: str | None = None, *, name: str | None = None) -> Broker:
    """Parse an address.

    Args:
        address: ``mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/BASE/TOPIC]``.
        password: counts where the address holds none.
        name: of the camera, for topics where the address holds none.

    Raises:
        UsageError: for anything else.
    """
    wrong = UsageError(
        "--mqtt: expected mqtt://[USER@]HOST[:PORT][/BASE/TOPIC], or mqtts:// for TLS; "
        "the password comes from FER_MQTT_PASSWORD or --mqtt-password-file"
    )
    scheme, user, own_password, rest = split_userinfo(address)
    try:
        parts = urlsplit(scheme + rest)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise wrong
    base = unquote(parts.path).strip("/") or f"fer-camera/{plain(name or socket.gethostname())}"
    if "+" in base or "#" in base:
        raise UsageError(f"--mqtt: a topic to write to cannot hold + or #, got {base}")
    return Broker(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        user=unquote(user) if user else None,
        password=unquote(own_password) if own_password else password,
        base=base,
        name=name or base.replace("/", " "),
        own_topic=bool(unquote(parts.path).strip("/")),
    )


class MqttPublisher:
    """Publishes results; an absent broker is waited for, and results meanwhile are dropped."""

    name = "MQTT"
    lossless = False
    lets_go = True

    def __init__(
        self,
        broker: Broker,
        board: StatusBoard,
        *,
        ca_file: str | None = None,
        protocol: int = 5,
    ) -> None:
        try:
            from paho.mqtt import client  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError.for_extra("paho-mqtt", "mqtt") from error
        self.broker = broker
        self._board = board
        self._faces_due = 0.0
        self._state_due = 0.0
        self._state: dict[str, Any] | None = None
        self._was_refused = ""
        self._online: int | None = None
        """Number of the message that says we are here, until the broker has it."""
        self._announced_before: set[str] = set()
        self._is_forgotten = False
        self._connected = threading.Event()
        self._connected_at = 0.0
        self._thrown_out = 0
        self.clashed = False
        """Another client has our id: we give up, or each would disconnect the other forever."""
        self._tls = _tls(ca_file) if broker.tls else None
        if not broker.tls and broker.password and not is_loopback(broker.host):
            LOG.warning("the password goes to MQTT broker %s unencrypted; better: mqtts://", broker.host)
        self._connect(protocol)

    def _connect(self, protocol: int) -> None:
        from paho.mqtt import client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        broker = self.broker
        client = self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id(broker.base), protocol=MQTTProtocolVersion(protocol)
        )
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.will_set(f"{broker.base}/availability", "offline", qos=1, retain=True)
        client.reconnect_delay_set(*RETRY_S)
        client.on_connect = self._when_connected
        client.on_message = self._when_heard
        client.on_publish = self._when_published
        client.on_connect_fail = self._when_unreachable
        client.on_disconnect = self._when_lost
        client.connect_async(broker.host, broker.port, keepalive=30)
        client.loop_start()

    def _when_connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del userdata, flags, properties
        if reason.is_failure:
            if reason.value == UNSUPPORTED_PROTOCOL and client.protocol != MQTT_3_1_1 and client is self._client:
                client.loop_stop()
                self._connect(MQTT_3_1_1)
                return
            if str(reason) != self._was_refused:
                LOG.warning("MQTT broker %s refuses us: %s", self.broker.host, reason)
            self._was_refused = str(reason)
            return
        # What a broker keeps of earlier versions comes before it confirms the message after the subscription.
        client.subscribe([(topic, 1) for topic in old_topics(self.broker.base)])
        self._online = client.publish(f"{self.broker.base}/availability", "online", qos=1, retain=True).mid
        self._state = None  # publish it again: the broker may have lost it
        self._was_refused = ""
        self._connected_at = time.monotonic()
        self._connected.set()

    def _when_heard(self, client: Any, userdata: Any, message: Any) -> None:
        """An earlier version has announced a sensor by itself."""
        del client, userdata
        if message.retain and message.payload:
            self._announced_before.add(message.topic)
            if self._online is None:  # a broker that confirms first, and then tells what it keeps
                self._announce()

    def _when_published(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        """Announce the device, once it is known what earlier versions have announced."""
        del client, userdata, reason, properties
        if mid == self._online:
            self._online = None
            self._announce()

    def _announce(self) -> None:
        client, base = self._client, self.broker.base
        for topic in sorted(self._announced_before):
            client.publish(topic, migration(), qos=1)
        client.publish(device_topic(base), json.dumps(device_message(base, self.broker.name)), qos=1, retain=True)
        for topic in sorted(self._announced_before):
            client.publish(topic, b"", qos=1, retain=True)
        self._announced_before.clear()

    def _when_unreachable(self, client: Any, userdata: Any) -> None:
        """Called by paho while it handles an error that it does not report: no such host, an untrusted certificate."""
        del client, userdata
        error = sys.exc_info()[1]
        reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error or "no answer")
        if reason != self._was_refused:
            LOG.warning("MQTT broker %s cannot be reached (%s); trying again until it is", self.broker.host, reason)
        self._was_refused = reason

    def _when_lost(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del userdata, flags, properties
        if client is not self._client:  # that of a protocol which was refused
            return
        was_connected = self._connected.is_set()
        self._connected.clear()
        if self.clashed:
            return
        soon = was_connected and time.monotonic() - self._connected_at < CLASH_S
        self._thrown_out = self._thrown_out + 1 if soon and reason.is_failure else 0
        if getattr(reason, "value", 0) == TAKEN_OVER or self._thrown_out >= CLASHES:
            self.clashed = True
            LOG.error(
                "MQTT broker %s: another client uses our client id (topic %s) and disconnects us; "
                "nothing more is published. Give each camera a %s of its own",
                self.broker.host,
                self.broker.base,
                "/TOPIC in --mqtt" if self.broker.own_topic else "--name or a /TOPIC in --mqtt",
            )
            client.loop_stop()  # not disconnect(), which paho forgets when the connection is lost already
            return
        if was_connected and reason.is_failure:
            LOG.warning("MQTT broker %s is lost (%s); trying again until it is back", self.broker.host, reason)

    def write(self, result: Result) -> None:
        """Publish what is due."""
        if not self._connected.is_set():
            return
        now = time.monotonic()
        if now >= self._faces_due:
            self._faces_due = now + FACES_EVERY_S
            self._client.publish(f"{self.broker.base}/faces", json.dumps(result.as_dict()))
        state = state_of(result, self._board.now().fps)
        changed = self._state is None or state["emotion"] != self._state["emotion"]
        if now >= self._state_due or (changed and now >= self._state_due - STATE_EVERY_S + FACES_EVERY_S):
            self._state_due = now + STATE_EVERY_S
            self._state = state
            self._client.publish(f"{self.broker.base}/state", json.dumps(state), retain=True)

    def forget(self) -> None:
        """The camera is gone for good: take its announcement back at the end."""
        self._is_forgotten = True

    def close(self) -> None:
        """Disconnect; a clean end triggers no last will, so ``offline`` is published first."""
        if self._connected.is_set():
            base = self.broker.base
            self._client.publish(f"{base}/availability", "offline", qos=1, retain=True).wait_for_publish(2.0)
            if self._is_forgotten:
                for topic in (device_topic(base), f"{base}/state", f"{base}/availability"):
                    self._client.publish(topic, b"", qos=1, retain=True).wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()


def _tls(ca_file: str | None) -> ssl.SSLContext:
    """Certificates and host names are checked."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"--mqtt-ca {ca_file}: expected certificates (PEM): {error.strerror or error}") from error


def state_of(result: Result, fps: float) -> dict[str, Any]:
    """What the sensors show: the largest face, or nobody."""
    state: dict[str, Any] = {"emotion": NOBODY, "confidence": 0.0, "faces": len(result.faces), "fps": round(fps, 1)}
    if result.faces:
        face = max(result.faces, key=lambda face: face.box[2] * face.box[3])
        state["emotion"] = face.emotion or UNCERTAIN
        state["confidence"] = round(100.0 * float(face.probabilities.max()), 1)
    return state


def client_id(base: str) -> str:
    """Our client id, derived from the topics: whoever publishes under the same topics is the same camera.

    23 letters and digits, which every broker takes (MQTT 3.1.1, 3.1.3.1).
    """
    return f"fer{hashlib.sha256(base.encode()).hexdigest()[:20]}"
