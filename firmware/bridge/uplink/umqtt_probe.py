"""An independent client speaks to a site's broker: umqtt.simple of micropython-lib.

It tells a broken link or broker from a broken gateway, as none of our MQTT is in it. It waits
wherever it reads, for ever at a peer that stalls, so it is never let near the network: its socket
plays back what has come, and where it wants more it is stopped and run again from its start once
there is more. What it sends is the same each time. So no line waits for it.
"""

import asyncio
import errno
import gc
import sys
import time

from micropython import const

from bridge.core import wire
from bridge.core.errors import ConfigError, ProtocolError, RefusedError
from bridge.core.mqtt import REFUSALS
from bridge.uplink.dial import dial, open_stream
from bridge.uplink.faults import fault_of
from bridge.uplink.session import CONNECT, HANDSHAKE, LOGIN, SESSION

_STEP_MS = const(10)
_LEAVE_MS = const(15000)  # for our own session to end
_READ = const(64)
_KEEP_ALIVE_S = const(10)
NAME = "name"  # the stage before session.STAGES

# Beside those of uplink/faults.py
FAULTS = ("no_umqtt", "no_memory", "no_link", "busy")


def is_there():
    """Say whether umqtt.simple is on the board, by its own image or in its files."""
    try:
        __import__("umqtt.simple")
        return True
    except ImportError:
        return False


def forget():
    """Give up what was imported for a probe."""
    from bridge.forget import forget

    for name in ("umqtt.simple", "umqtt"):
        sys.modules.pop(name, None)
    forget("uplink.umqtt_probe")


class _More(Exception):
    """umqtt wants to read what has not come yet."""


class _Played:
    """A socket that plays a conversation back, and what umqtt takes for the module `socket`.

    sent, received  all bytes so far, over all runs
    """

    def __init__(self):
        self.sent = bytearray()
        self.received = bytearray()
        self.rewind()

    def rewind(self):
        self._out = self._in = 0

    # --- as the module ---

    def socket(self, *_):
        return self

    def getaddrinfo(self, host, port, *_):
        return [(0, 0, 0, "", (host, port))]

    # --- as the socket ---

    def connect(self, address):
        pass

    def setblocking(self, flag):
        pass

    def settimeout(self, seconds):
        pass

    def close(self):
        pass

    def write(self, data, size=None):
        if isinstance(data, str):
            data = data.encode()
        data = bytes(data) if size is None else bytes(data[:size])
        self._out += len(data)
        self.sent += data[len(data) - max(0, self._out - len(self.sent)) :]
        return len(data)

    def read(self, count):
        if self._in + count > len(self.received):
            raise _More
        self._in += count
        return bytes(self.received[self._in - count : self._in])


class Probe:
    """One probe of one site's broker.

    found  {"site", "stage": how far it is, "over" at the end; "fault": "" or one of uplink/faults
           or one of FAULTS; "failed_in": the stage of the fault; "text": its error; "ms": {stage:
           how long it took}; "tls"; "was_up": whether the site receipted before}
    """

    def __init__(self, gateway, forwarder):
        site = forwarder.site
        self.found = {
            "site": site.name, "stage": "begun", "fault": "", "failed_in": "", "text": "",
            "ms": {}, "tls": site.server_name is not None,
        }  # fmt: skip
        self._gateway = gateway
        self._forwarder = forwarder
        self._site = site
        self._silent_ms = gateway.config.peer_silent_ms  # for each stage: as for a session
        self._played = _Played()
        self._stream = None
        self._flushed = 0
        self._since_ms = 0
        self._passed = ""  # the stage that umqtt has reached

    async def run(self):
        """Do it; the outcome is in `found`. Our own session with that broker pauses meanwhile."""
        found, forwarder = self.found, self._forwarder
        was_up = forwarder.up
        # The broker may hold who has the same certificate for the same client, and end the other.
        forwarder.held = True
        try:
            if not await self._is_alone():
                self._fail("busy", "")
            elif not self._gateway.links.is_up():
                self._fail("no_link", "")
            else:
                await self._talk()
        except MemoryError:
            self._fail("no_memory", "")
        except ImportError:
            self._fail("no_umqtt", "")
        except Exception as error:  # a finding, whatever it is
            stage = found["stage"]
            if isinstance(error, (AssertionError, IndexError)):
                error = ProtocolError("no answer of a broker")
            if stage == NAME:
                self._fail("no_such_host", error)
            elif isinstance(
                error, (OSError, ValueError, ProtocolError, ConfigError, asyncio.TimeoutError)
            ):
                self._fail(fault_of(error, stage), error)
            else:
                self._fail("broken_in_" + stage, "%s: %s" % (type(error).__name__, error))
        finally:
            found["stage"] = "over"
            found["was_up"] = was_up
            forwarder.held = False
            forwarder.wake()
            text = found["fault"] and "%s: %s" % (found["failed_in"], found["fault"])
            self._gateway.notice_probe("%s: %s" % (self._site.name, text or "it works"))
            forget()

    def _fail(self, fault, text):
        self.found["fault"] = fault
        self.found["failed_in"] = self.found["stage"]
        self.found["text"] = str(text)[:96]

    def _stage(self, name):
        now_ms = time.ticks_ms()
        found = self.found
        if found["stage"] in (NAME, CONNECT, HANDSHAKE, LOGIN, SESSION):
            found["ms"][found["stage"]] = time.ticks_diff(now_ms, self._since_ms)
        found["stage"] = name
        self._since_ms = now_ms

    async def _is_alone(self):
        """Wait for our own session to end; says whether it did."""
        until_ms = time.ticks_add(time.ticks_ms(), _LEAVE_MS)
        while not self._forwarder.idle:
            if time.ticks_diff(time.ticks_ms(), until_ms) > 0:
                return False
            await asyncio.sleep_ms(_STEP_MS)
        return True

    async def _talk(self):
        from umqtt import simple

        gateway, site, links = self._gateway, self._site, self._gateway.links
        room = sock = None
        self._stage(NAME)
        try:
            interface = links.interface
            looking = links.address_of(site.host, interface)
            address = await asyncio.wait_for_ms(looking, self._silent_ms)
            self._stage(CONNECT)
            sock = await dial(address, site.port, interface, self._silent_ms)
            if site.server_name is not None:
                self._stage(HANDSHAKE)
                certificate = gateway.credentials.in_use()
                if certificate is None:
                    raise ConfigError("no certificate")
                room = gateway.tls_room.around(certificate.context)
            self._stream = open_stream(sock, room, site.server_name)
            if room is None:
                self._stage(LOGIN)
            await self._converse(simple)
            self._stage("over")
        finally:
            simple.socket = None
            for end in (self._stream.s if self._stream else None, sock):
                try:
                    if end is not None:
                        end.close()
                except OSError:
                    pass  # it is gone either way
            if room is not None:
                room.close()

    async def _converse(self, simple):
        """Run umqtt until it has all it wants: each time from its start, with more to read."""
        simple.socket = self._played
        while True:
            self._played.rewind()
            gc.collect()
            try:
                self._run(simple)
                is_done = True
            except _More:
                is_done = False
            await asyncio.wait_for_ms(self._flush(), self._silent_ms)
            if self.found["stage"] == HANDSHAKE:
                self._stage(LOGIN)
            if self._passed == SESSION and self.found["stage"] == LOGIN:
                self._stage(SESSION)
            if is_done:
                return
            data = await asyncio.wait_for_ms(self._stream.read(_READ), self._silent_ms)
            if data == b"":
                raise OSError(errno.ECONNRESET)
            self._played.received += data or b""

    def _run(self, simple):
        identity = self._gateway.identity
        name = wire.client_id(identity.uplink_key, identity.gateway)
        client = simple.MQTTClient(name, "site", port=1, keepalive=_KEEP_ALIVE_S)
        try:
            client.connect()
        except simple.MQTTException as error:
            code = error.args[0]
            reason = REFUSALS[code] if code in range(6) else "code %s" % code
            raise RefusedError(reason)
        self._passed = SESSION
        # A topic that a gateway may publish to, and a reply that nobody takes for one.
        topic = wire.topic(identity.gateway, "reply")
        client.publish(topic.encode(), b"probe", qos=1)
        client.disconnect()

    async def _flush(self):
        """Send what is new; over TLS the first of it shakes hands, a step for each call."""
        played = self._played
        secured = self._stream.s
        while self._flushed < len(played.sent):
            if self.found["stage"] == HANDSHAKE:
                await self._gateway.settle()
            count = secured.write(bytes(played.sent[self._flushed :]))
            self._flushed += count or 0
            if self._flushed < len(played.sent):
                await asyncio.sleep_ms(_STEP_MS)
