"""An embedded MQTT broker in a child process, for one machine, first contact and tests.

iotcore (rumqttd) checks no client certificates and has no access list, so it listens on 127.0.0.1
alone. It keeps delivered messages in memory, bounded by its segments; small ones make it drop
acknowledged messages for a slow subscriber, which the log does not mind: a receipt is what counts.
A ward in production runs mosquitto (docs/guides/hub.md).
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from pathlib import Path

from vitalkeep.errors import ToolError

_HOST = "127.0.0.1"
_START_S = 15.0
_TRIES = 3
_PAYLOAD_MAX = 20480  # the largest payload of ours is a heartbeat of 2 KB
_SEGMENT_BYTES = 16 * 1024 * 1024
_SEGMENTS = 4

# rumqttd's settings: the defaults keep 100 MB x 10 of delivered messages in memory.
_TOML = """\
id = 0

[router]
id = 0
max_connections = 2000
max_outgoing_packet_count = 1000
max_segment_size = {segment}
max_segment_count = {segments}

[v4.1]
name = "v4-1"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v4.1.connections]
connection_timeout_ms = 10000
max_payload_size = {payload}
max_inflight_count = 500
dynamic_filters = true
"""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedBroker:
    """The broker as a child; `with` it, or call `start` and `stop`. It dies with this process.

    port  0 for one that is free
    """

    def __init__(self, port: int = 0) -> None:
        self._wanted = port
        self.port = port
        self._broker: object | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://{_HOST}:{self.port}"

    def start(self) -> EmbeddedBroker:
        """Start it and wait until it listens; raises ToolError when it does not."""
        last = ""
        for _ in range(1 if self._wanted else _TRIES):
            self.port = self._wanted or free_port()
            try:
                self._launch()
                return self
            except (OSError, RuntimeError) as error:
                # Between finding a free port and taking it, someone else may have.
                last = str(error)
                self.stop()
        raise ToolError(
            f"the embedded broker did not start on {_HOST}:{self.port}: {last}",
            "Free the port, or name a broker that runs: --broker mqtt://host:port.",
        )

    def _launch(self) -> None:
        # Imported here: a hub with a broker of its own needs no native module.
        from iotcore import Broker

        self._folder = tempfile.TemporaryDirectory(prefix="vitalkeep-broker-")
        config = Path(self._folder.name) / "rumqttd.toml"
        config.write_text(
            _TOML.format(
                host=_HOST,
                port=self.port,
                segment=_SEGMENT_BYTES,
                segments=_SEGMENTS,
                payload=_PAYLOAD_MAX,
            )
        )
        broker = Broker(config_path=str(config))
        self._broker = broker
        broker.start(timeout=_START_S)
        deadline = time.monotonic() + _START_S
        while not self.is_running():
            if time.monotonic() > deadline:
                raise RuntimeError("no answer")
            time.sleep(0.05)

    def is_running(self) -> bool:
        """Return True while it takes connections."""
        with contextlib.suppress(OSError), socket.create_connection((_HOST, self.port), 0.5):
            return True
        return False

    def stop(self) -> None:
        """Stop the child; harmless when it is not running."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.stop()  # type: ignore[attr-defined]
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
