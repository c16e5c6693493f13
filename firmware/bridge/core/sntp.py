"""SNTP as a client (RFC 4330, fields of RFC 5905): one question, one checked answer. Pure.

Nobody authenticates these answers: what to make of several of them is consensus.py's.
"""

import struct

from micropython import const

from bridge.core.errors import FormatError

PORT = const(123)
NONCE_SIZE = const(8)

_SIZE = const(48)
_CLIENT_V4 = const(0x23)  # leap 0, version 4, mode 3
_SERVER = const(4)
_UNSYNCHRONISED = const(3)
_STRATUM_MAX = const(15)
_ROOT_MAX_MS = const(1000)  # RFC 4330, 5: "a cozy number like one second"
_HEAD = ">BBbbII4s"
_STAMP = ">II"
_ORIGINATE_AT = const(24)
_RECEIVE_AT = const(32)
_TRANSMIT_AT = const(40)
_ERA_0_S = 2208988800  # from 1900 to 1970
_ERA_S = 4294967296  # an era: seconds wrap in 2036


class Kiss(FormatError):
    """A server does not want to be asked: `code` is DENY, RSTR, RATE ... (RFC 5905, 7.4)."""

    def __init__(self, code):
        super().__init__("sntp: kiss-o'-death " + code)
        self.code = code


class Reply:
    """When a server got the question and answered it, UTC ms, and how far it may be off itself."""

    def __init__(self, received_ms, sent_ms, root_ms):
        self.received_ms = received_ms
        self.sent_ms = sent_ms
        self.root_ms = root_ms

    def judge(self, asked_ms, heard_ms):
        """Return (UTC minus monotonic ms, error ms).

        asked_ms, heard_ms  monotonic: when the question left and the answer came
        Raises              FormatError when the server took longer than the whole trip
        """
        delay_ms = heard_ms - asked_ms - (self.sent_ms - self.received_ms)
        # Both ends round to whole milliseconds.
        if delay_ms < -2:
            raise FormatError("sntp: %d ms at the server of a trip that was shorter" % -delay_ms)
        offset_ms = (self.received_ms - asked_ms + self.sent_ms - heard_ms) // 2
        return offset_ms, max(delay_ms, 0) // 2 + self.root_ms + 2


def request(nonce):
    """Return the question. The nonce stands where our time would: that is nobody's business."""
    packet = bytearray(_SIZE)
    packet[0] = _CLIENT_V4
    packet[_TRANSMIT_AT:] = nonce
    return bytes(packet)


def parse(payload, nonce):
    """Return the Reply in an answer; raises FormatError, and Kiss where a server refuses us."""
    if len(payload) < _SIZE:
        raise FormatError("sntp: %d bytes, want %d" % (len(payload), _SIZE))
    if bytes(payload[_ORIGINATE_AT:_RECEIVE_AT]) != nonce:
        raise FormatError("sntp: the answer to another question")
    flags, stratum, _, _, delay, dispersion, reference = struct.unpack_from(_HEAD, payload, 0)
    if flags & 7 != _SERVER or flags >> 3 & 7 not in (3, 4):
        raise FormatError("sntp: mode %d version %d" % (flags & 7, flags >> 3 & 7))
    if stratum == 0:
        raise Kiss("".join(chr(byte) if 32 < byte < 127 else "?" for byte in reference))
    if stratum > _STRATUM_MAX or flags >> 6 == _UNSYNCHRONISED:
        raise FormatError("sntp: the server's clock is not set (stratum %d)" % stratum)
    delay_ms, dispersion_ms = _short_ms(delay), _short_ms(dispersion)
    if delay_ms > _ROOT_MAX_MS or dispersion_ms > _ROOT_MAX_MS:
        raise FormatError("sntp: root delay %d, dispersion %d ms" % (delay_ms, dispersion_ms))
    received_ms, sent_ms = _stamp_ms(payload, _RECEIVE_AT), _stamp_ms(payload, _TRANSMIT_AT)
    if not 0 <= sent_ms - received_ms <= _ROOT_MAX_MS:
        raise FormatError("sntp: sent %d ms after it was received" % (sent_ms - received_ms))
    return Reply(received_ms, sent_ms, delay_ms // 2 + dispersion_ms + 1)


def _short_ms(value):
    return (value * 1000 + 0xFFFF) >> 16


def _stamp_ms(payload, at):
    seconds, fraction = struct.unpack_from(_STAMP, payload, at)
    if seconds == 0 and fraction == 0:
        raise FormatError("sntp: no time in it")
    # RFC 4330, 3: with the top bit set it is of 1968 to 2036, without of 2036 to 2104.
    if not seconds & 0x80000000:
        seconds += _ERA_S
    return (seconds - _ERA_0_S) * 1000 + (fraction * 1000 >> 32)
