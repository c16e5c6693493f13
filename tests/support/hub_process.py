"""The hub as a child process, and gateways that talk to it over a broker."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from bridge.core import mqtt, wire
from bridge.core.journal import layout
from tests.support.hub import FakeGateway


class Client:
    """A blocking MQTT client for tests.

    context  of TLS, None for plain TCP
    will     topic of the last will, None for none
    """

    def __init__(
        self,
        host: str,
        port: int,
        name: str,
        context: ssl.SSLContext | None = None,
        will: str | None = None,
    ) -> None:
        self.sock = socket.create_connection((host, port), 5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname=host)
        self.decoder = mqtt.Decoder(65536)
        self.inbox: list[mqtt.Packet] = []
        self.acked: set[int] = set()
        self._id = 0
        last_words = b"gone" if will else b""
        self.sock.sendall(mqtt.connect(name, 60, will, last_words))
        assert self._wait(mqtt.CONNACK, 5).code == 0

    def subscribe(self, *filters: str, qos: int = 1) -> None:
        self._id += 1
        self.sock.sendall(mqtt.subscribe(self._id, [(text, qos) for text in filters]))
        self._wait(mqtt.SUBACK, 5)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> int:
        self._id += 1
        self.sock.sendall(mqtt.publish(topic, payload, 1, self._id, retain))
        return self._id

    def pump(self, seconds: float) -> list[mqtt.Packet]:
        """Read for a while; returns and forgets the publishes that came."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._read(left)
            if self.inbox:
                break
        found, self.inbox = self.inbox, []
        return found

    def _wait(self, kind: int, seconds: float) -> mqtt.Packet:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for packet in self._read(left):
                if packet.type == kind:
                    return packet
        raise TimeoutError(f"no packet {kind} in {seconds} s")

    def _read(self, seconds: float) -> list[mqtt.Packet]:
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return []
        if not data:
            raise EOFError("closed by the broker")
        self.decoder.feed(data)
        found = []
        while (packet := self.decoder.next_packet()) is not None:
            found.append(packet)
            if packet.type == mqtt.PUBLISH:
                self.inbox.append(packet)
                if packet.qos:
                    self.sock.sendall(mqtt.puback(packet.packet_id))
            elif packet.type == mqtt.PUBACK:
                self.acked.add(packet.packet_id)
        return found

    def close(self) -> None:
        self.sock.close()

    def abort(self) -> None:
        """Go without a word, so that the broker publishes the will."""
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class HubProcess:
    """`vitalkeep hub` as a child, as a rig starts it. `with` it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._arguments = arguments

    def program(self) -> list[str]:
        """Return what starts a hub, with its data in the folder."""
        return [sys.executable, "-m", "vitalkeep", "hub", "--data", str(self.folder)]

    def __enter__(self) -> HubProcess:
        command = [*self.program(), "--json", "--http", "127.0.0.1:0", "--broker-port", "0"]
        command += ["--time", "127.0.0.1:0", *self._arguments]
        self.errors = (self.folder / "hub.err").open("a+")
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors)
        line = self.child.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(self.errors.read())
        self.where = json.loads(line)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code; what it said on stderr is in `errors`."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        try:
            return self.child.wait(10)
        finally:
            self.child.kill()
            self.child.stdout.close()
            self.errors.close()

    @property
    def broker(self) -> tuple[str, int]:
        host, port = self.where["broker"].split("://")[1].split(":")
        return host, int(port)

    def health(self) -> dict[str, Any]:
        """Return the hub's health, whatever status it comes with."""
        try:
            return self.get("/api/health")
        except HTTPError as error:
            return json.loads(error.read())

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON of an address of the page, asking again while the hub is too loaded."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(self.where["http"] + path, timeout=5) as answer:
                    return json.load(answer)
            except HTTPError as error:
                if "retry-after" not in error.headers or time.monotonic() > deadline:
                    raise
            time.sleep(1)


class Online:
    """A FakeGateway on a broker: pumps runs up and receipts down while a test watches."""

    def __init__(
        self,
        gateway: FakeGateway,
        broker: tuple[str, int],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.gateway = gateway
        self.client = Client(*broker, "vk-" + gateway.id.hex(), context)
        self.client.subscribe(wire.topic(gateway.id, "receipt"))
        self.receipts: list[wire.Receipt] = []

    def beat(self, ask: bool = False) -> None:
        self.client.publish(*self.gateway.heartbeat(ask))

    def talk(self, until: Callable[[], bool], seconds: float = 10.0) -> None:
        """Serve until a condition holds; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        beat_at = 0.0
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.receipts)} receipts")
            if time.monotonic() > beat_at:
                self.beat(ask=not self.gateway.sender.ready)
                beat_at = time.monotonic() + 0.5
            for run in self.gateway.next_runs():
                self.client.publish(*run)
            for packet in self.client.pump(0.02):
                self.receipts.append(self.gateway.take(packet.payload))

    def settled(self) -> bool:
        """True when everything that was recorded is receipted."""
        sender = self.gateway.sender
        owed = any(sender.backlog_bytes(cls) for cls in range(len(layout.CLASSES)))
        return sender.ready and not sender.in_flight and not owed
