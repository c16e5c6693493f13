"""One MQTT session with a broker: core/mqtt.py over a stream. Every wait has an end.

A session raises when it breaks; whoever runs it decides when to try again, since the log keeps
what was not receipted.
"""

import asyncio
import errno

from micropython import const

from bridge.core import mqtt
from bridge.core.errors import ProtocolError, RefusedError
from bridge.uplink.dial import dial, open_stream

_PACKET_MAX = const(1024)  # a receipt and its topic take 700
_KEEP_ALIVE_S = const(10)
_GOODBYE_MS = const(500)

CONNECT = "connect"
HANDSHAKE = "handshake"
LOGIN = "login"
SESSION = "session"
STAGES = (CONNECT, HANDSHAKE, LOGIN, SESSION)


class Session:
    """A connected client; a peer that says nothing for `silent_ms` is given up.

    stage  how far it came: one of STAGES
    link   number of the link that it was dialled over
    """

    def __init__(self, silent_ms):
        self.stage = CONNECT
        self.link = None
        self._silent_ms = silent_ms
        self._socket = None
        self._decoder = mqtt.Decoder(_PACKET_MAX)
        self._stream = None
        self._unacknowledged = mqtt.Unacknowledged()
        self._acknowledged = asyncio.Event()
        self._writing = asyncio.Lock()

    async def dial(self, link, host, port, interface):
        """Connect over a link, and say nothing yet; raises OSError or asyncio.TimeoutError."""
        self.link = link
        self._socket = await dial(host, port, interface, self._silent_ms)

    async def open(self, options, beat):
        """Log in and subscribe, over what `dial` connected.

        options  dict: client_id, will_topic, will_payload, subscriptions; tls: a
                 tls.SSLContext or None; server_name: what the site's certificate is for
        beat     called between the steps, each of which may take `silent_ms`
        Raises   OSError, asyncio.TimeoutError, ProtocolError; ValueError for a certificate
        """
        context = options["tls"]
        sock, self._socket = self._socket, None
        self._stream = open_stream(sock, context, options["server_name"])
        # The handshake is done on the way of the first bytes written.
        self.stage = HANDSHAKE if context else LOGIN
        await self.write(
            mqtt.connect(
                options["client_id"],
                _KEEP_ALIVE_S,
                options["will_topic"],
                options["will_payload"],
                True,
            )
        )
        beat()
        answer = await self.receive()
        self.stage = LOGIN
        if answer.type != mqtt.CONNACK:
            raise ProtocolError("packet type %d before CONNACK" % answer.type)
        if answer.code:
            reason = mqtt.REFUSALS[answer.code] if answer.code < 6 else "code %d" % answer.code
            raise RefusedError(reason)
        beat()
        packet_id = await self.next_id()
        await self.write(mqtt.subscribe(packet_id, options["subscriptions"]))
        answer = await self.receive()
        if answer.type != mqtt.SUBACK or answer.packet_id != packet_id:
            raise ProtocolError("packet type %d before SUBACK" % answer.type)
        if answer.code > 1:
            raise RefusedError("subscription")
        self.stage = SESSION

    async def next_id(self):
        """Return the next packet identifier; waits while too many are not acknowledged."""
        while self._unacknowledged.full():
            self._acknowledged.clear()
            await asyncio.wait_for_ms(self._acknowledged.wait(), self._silent_ms)
        return self._unacknowledged.take()

    async def write(self, packet):
        """Send one whole packet; raises OSError when the peer takes nothing for too long."""
        # A stream has room for one waiting writer.
        async with self._writing:
            self._stream.write(packet)
            await asyncio.wait_for_ms(self._stream.drain(), self._silent_ms)

    async def receive(self):
        """Return the next packet that is more than an acknowledgement of a PUBLISH.

        Asks a silent peer to speak. Raises OSError, asyncio.TimeoutError or ProtocolError.
        """
        decoder = self._decoder
        while True:
            packet = decoder.next_packet()
            if packet is None:
                count = await self._read(decoder.window())
                if not count:
                    raise OSError(errno.ECONNRESET)
                decoder.commit(count)
            elif packet.type == mqtt.CONNACK and self.stage == SESSION:
                raise ProtocolError("CONNACK in mid session")
            elif packet.type == mqtt.PUBACK or packet.type == mqtt.SUBACK:
                self._unacknowledged.acknowledge(packet.packet_id)
                self._acknowledged.set()
                if packet.type == mqtt.SUBACK:
                    return packet
            elif packet.type != mqtt.PINGRESP:
                return packet

    async def _read(self, window):
        half_ms = self._silent_ms // 2
        try:
            return await asyncio.wait_for_ms(self._stream.readinto(window), half_ms)
        except asyncio.TimeoutError:
            if self.stage != SESSION:
                raise
            await self.write(mqtt.pingreq())
            return await asyncio.wait_for_ms(self._stream.readinto(window), half_ms)

    async def leave(self):
        """Say goodbye, so that the broker does not publish the will; then close."""
        try:
            await asyncio.wait_for_ms(self.write(mqtt.disconnect()), _GOODBYE_MS)
        except (OSError, asyncio.TimeoutError):
            pass  # it will find out
        await self.close()

    async def close(self):
        """Close the stream. No DISCONNECT: the broker then publishes the will, as it should."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()
        stream, self._stream = self._stream, None
        if stream is None:
            return
        try:
            stream.close()
            await stream.wait_closed()
        except OSError:
            pass  # it is gone either way
