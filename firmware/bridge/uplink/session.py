"""One MQTT session with a broker: core/mqtt.py over a stream. Every wait has an end.

A session raises when it breaks; whoever runs it decides when to try again, since the log keeps
what was not receipted. Until it is open each stage has `silent_ms` as a whole. From then on no
wait has a time of its own: cancelling a reader of MicroPython's asyncio also takes a writer of the
same stream from the poll, so `hold` looks at the clock for all of them and ends them at once.
"""

import asyncio
import errno
import time

from micropython import const

from bridge.core import mqtt
from bridge.core.errors import ProtocolError, RefusedError
from bridge.uplink.dial import dial, open_stream

_PACKET_MAX = const(1024)  # a receipt and its topic take 700
_KEEP_ALIVE_S = const(10)
_GOODBYE_MS = const(500)
_STEP_MS = const(10)  # between looks at a handshake
_CHECK_MS = const(100)  # between looks at the clock in an open session

CONNECT = "connect"
HANDSHAKE = "handshake"
LOGIN = "login"
SESSION = "session"
STAGES = (CONNECT, HANDSHAKE, LOGIN, SESSION)


class Session:
    """A connected client; a peer that stalls is given up within `silent_ms`.

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
        self._shut = False  # no packet may follow: half of one, or a DISCONNECT, was the last
        self._heard = 0  # ticks of the last whole packet; a byte now and then is no life
        self._blocked = None  # ticks since when a packet waits to be taken
        self._full = None  # ticks since when the window is full
        self._broken = None

    async def dial(self, link, host, port, interface):
        """Connect over a link, and say nothing yet; raises OSError or asyncio.TimeoutError."""
        self.link = link
        self._socket = await dial(host, port, interface, self._silent_ms)

    async def open(self, options, beat, settle):
        """Log in and subscribe, over what `dial` connected.

        options  dict: client_id, will_topic, will_payload, subscriptions; tls: a
                 tls.SSLContext or None; server_name: what the site's certificate is for
        beat     called between the stages, each of which may take `silent_ms`
        settle   awaited before each step of a handshake, which may compute for up to a second
        Raises   OSError, asyncio.TimeoutError, ProtocolError; ValueError for a certificate
        """
        context = options["tls"]
        self._stream = open_stream(self._socket, context, options["server_name"])
        hello = mqtt.connect(
            options["client_id"],
            _KEEP_ALIVE_S,
            options["will_topic"],
            options["will_payload"],
            True,
        )
        if context:
            self.stage = HANDSHAKE
            await asyncio.wait_for_ms(self._shake_hands(hello, settle), self._silent_ms)
            beat()
            hello = None
        self.stage = LOGIN
        login = self._log_in(hello, options["subscriptions"])
        await asyncio.wait_for_ms(login, self._silent_ms)
        beat()
        self._heard = time.ticks_ms()
        self.stage = SESSION

    async def _shake_hands(self, hello, settle):
        """Send the first packet: TLS does its handshake on the way, a step for each call."""
        secured = self._stream.s
        while True:
            await settle()
            count = secured.write(hello)
            if count == len(hello):
                return
            if count:
                hello = hello[count:]
            await asyncio.sleep_ms(_STEP_MS)

    async def _log_in(self, hello, subscriptions):
        if hello is not None:
            await self.write(hello)
        answer = await self.receive()
        if answer.type != mqtt.CONNACK:
            raise ProtocolError("packet type %d before CONNACK" % answer.type)
        if answer.code:
            reason = mqtt.REFUSALS[answer.code] if answer.code < 6 else "code %d" % answer.code
            raise RefusedError(reason)
        packet_id = await self.next_id()
        await self.write(mqtt.subscribe(packet_id, subscriptions))
        answer = await self.receive()
        if answer.type != mqtt.SUBACK or answer.packet_id != packet_id:
            raise ProtocolError("packet type %d before SUBACK" % answer.type)
        if len(answer.codes) != len(subscriptions):
            raise ProtocolError("SUBACK for %d of %d" % (len(answer.codes), len(subscriptions)))
        if max(answer.codes) > 1:
            raise RefusedError("subscription")

    # --- an open session ---

    async def hold(self, jobs, goes_on, last_words):
        """Run jobs beside each other to the session's end; none of them is left behind.

        jobs     coroutines that read and write, for ever
        goes_on  goes_on() is asked ten times a second; when it says no, this returns
        last_words  the (topic, payload) that last_words() then returns are published, if any
        Raises   asyncio.TimeoutError for a peer that has stalled, what goes_on() raises, and
                 what a job raises
        """
        self._broken = None
        jobs = tuple(jobs) + (self._keep_alive(),)
        tasks = [asyncio.create_task(self._watch(job)) for job in jobs]
        try:
            while self._broken is None and goes_on():
                self._check()
                await asyncio.sleep_ms(_CHECK_MS)
            if self._broken is None:
                await self._leave(last_words())
                return
        finally:
            for task in tasks:
                task.cancel()
            # Nobody may wait for a stream that is closed.
            while not all(task.done() for task in tasks):
                await asyncio.sleep_ms(0)
        raise self._broken

    async def _watch(self, job):
        try:
            await job
        except Exception as error:  # whatever it is, the session ends with it
            self._broken = error

    def _check(self):
        now = time.ticks_ms()
        for since in (self._heard, self._blocked, self._full):
            if since is not None and time.ticks_diff(now, since) > self._silent_ms - _CHECK_MS:
                raise asyncio.TimeoutError

    async def _keep_alive(self):
        """Ask a silent peer to speak."""
        half_ms = self._silent_ms // 2
        while True:
            quiet_ms = time.ticks_diff(time.ticks_ms(), self._heard)
            if quiet_ms >= half_ms:
                await self.write(mqtt.pingreq())
                quiet_ms = 0
            await asyncio.sleep_ms(half_ms - quiet_ms)

    async def next_id(self):
        """Return the next packet identifier; waits while too many are not acknowledged."""
        while self._unacknowledged.full():
            if self._full is None:
                self._full = time.ticks_ms()
            self._acknowledged.clear()
            await self._acknowledged.wait()
        self._full = None
        return self._unacknowledged.take()

    def give_back(self, packet_id):
        """Take back an identifier under which nothing was sent."""
        self._unacknowledged.acknowledge(packet_id)

    async def write(self, packet):
        """Send one whole packet; it may be used again when this returns. Raises OSError."""
        # A stream has room for one waiting writer.
        async with self._writing:
            if self._shut:
                raise OSError(errno.EPIPE)
            self._shut = True
            self._blocked = time.ticks_ms()
            self._stream.write(packet)
            await self._stream.drain()
            self._blocked = None
            self._shut = False

    async def receive(self):
        """Return the next packet that is more than an acknowledgement of a PUBLISH.

        Raises OSError or ProtocolError.
        """
        decoder = self._decoder
        while True:
            packet = decoder.next_packet()
            if packet is None:
                count = await self._stream.readinto(decoder.window())
                if count == 0:
                    raise OSError(errno.ECONNRESET)
                # None: TLS has only a part of a record so far.
                decoder.commit(count or 0)
                continue
            self._heard = time.ticks_ms()
            if packet.type == mqtt.CONNACK and self.stage == SESSION:
                raise ProtocolError("CONNACK in mid session")
            if packet.type == mqtt.PUBACK or packet.type == mqtt.SUBACK:
                self._unacknowledged.acknowledge(packet.packet_id)
                self._acknowledged.set()
                if packet.type == mqtt.SUBACK:
                    return packet
            elif packet.type != mqtt.PINGRESP:
                return packet

    async def _leave(self, words):
        # After a DISCONNECT the broker keeps the will to itself. Whole packets of others go before
        # it; none comes behind.
        try:
            await asyncio.wait_for_ms(self._say_goodbye(words), _GOODBYE_MS)
        except (OSError, asyncio.TimeoutError):
            pass  # it will find out

    async def _say_goodbye(self, words):
        packet = mqtt.disconnect()
        if words:
            packet = mqtt.publish(words[0], words[1], 1, await self.next_id(), True) + packet
        await self.write(packet)
        self._shut = True

    async def close(self):
        """Close the connection. Without last words the broker publishes the will, as it should."""
        sock, self._socket = self._socket, None
        stream, self._stream = self._stream, None
        # A TLS socket whose handshake failed has let go of the one below, which would stay open.
        for end in (stream.s if stream else None, sock):
            try:
                if end is not None:
                    end.close()
            except OSError:
                pass  # it is gone either way
