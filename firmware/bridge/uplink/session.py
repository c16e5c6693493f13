"""One MQTT session with a broker: core/mqtt.py over a stream. Every wait has an end.

A session raises when it breaks; whoever runs it decides when to try again, since the log keeps
what was not receipted.
"""

import asyncio
import errno

from micropython import const

from bridge.core import mqtt
from bridge.core.errors import ProtocolError

_PACKET_MAX = const(2048)
_KEEP_ALIVE_S = const(10)


class Session:
    """A connected client; a peer that says nothing for `silent_ms` is given up."""

    def __init__(self, silent_ms):
        self._silent_ms = silent_ms
        self._decoder = mqtt.Decoder(_PACKET_MAX)
        self._stream = None
        self._packet_id = 0
        self._writing = asyncio.Lock()

    async def open(self, options, beat):
        """Connect and subscribe; raises OSError, asyncio.TimeoutError or ProtocolError.

        options  dict: host, port, client_id, will_topic, will_payload, subscriptions
        beat     called between the steps, each of which may take `silent_ms`
        """
        self._decoder = mqtt.Decoder(_PACKET_MAX)
        connecting = asyncio.open_connection(options["host"], options["port"])
        self._stream, _ = await asyncio.wait_for_ms(connecting, self._silent_ms)
        beat()
        await self.write(
            mqtt.connect(
                options["client_id"],
                _KEEP_ALIVE_S,
                options["will_topic"],
                options["will_payload"],
                True,
            )
        )
        answer = await self.receive()
        if answer.type != mqtt.CONNACK or answer.code:
            reason = mqtt.REFUSALS[answer.code] if answer.code < 6 else "code %d" % answer.code
            raise ProtocolError("broker refused: %s" % reason)
        beat()
        await self.write(mqtt.subscribe(self.next_id(), options["subscriptions"]))
        answer = await self.receive()
        if answer.type != mqtt.SUBACK or answer.code > 1:
            raise ProtocolError("broker refused the subscription")

    def next_id(self):
        """Return the next packet identifier, 1 to 65535 and round again (MQTT 3.1.1, 2.3.1)."""
        self._packet_id = self._packet_id % 0xFFFF + 1
        return self._packet_id

    async def write(self, packet):
        """Send one whole packet; raises OSError when the peer takes nothing for too long."""
        # A stream has room for one waiting writer.
        async with self._writing:
            self._stream.write(packet)
            await asyncio.wait_for_ms(self._stream.drain(), self._silent_ms)

    async def receive(self):
        """Return the next packet; raises OSError or ProtocolError. Asks a silent peer to speak."""
        decoder = self._decoder
        while True:
            packet = decoder.next_packet()
            if packet is not None:
                return packet
            count = await self._read(decoder.window())
            if not count:
                raise OSError(errno.ECONNRESET)
            decoder.commit(count)

    async def _read(self, window):
        half_ms = self._silent_ms // 2
        try:
            return await asyncio.wait_for_ms(self._stream.readinto(window), half_ms)
        except asyncio.TimeoutError:
            await self.write(mqtt.pingreq())
            return await asyncio.wait_for_ms(self._stream.readinto(window), half_ms)

    async def close(self):
        """Close the stream. No DISCONNECT: the broker then publishes the will, as it should."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        try:
            stream.close()
            await stream.wait_closed()
        except OSError:
            pass  # it is gone either way
