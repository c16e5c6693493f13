"""A gateway's question for the time and a site's answer, one UDP datagram each. Pure.

The drawing is docs/formats/wire.md. Both have the same size: whoever asks under a stolen address
moves no more bytes than they send. The answer is bound to the question's nonce and authenticated
under the key that receipts are, which UDP, SNTP and a certificate's date are not.
"""

import struct

from micropython import const

from bridge.core.errors import FormatError, TagError
from bridge.core.mac import hmac_sha256, same

TIME_VERSION = const(1)
TIME_SIZE = const(52)
NONCE_SIZE = const(8)

# What a site knows of its own clock
SYNC_UNKNOWN = const(0)
SYNC_LOST = const(1)
SYNC_GOOD = const(2)

_QUESTION = "<2sB8s8s25s"
_ANSWER = "<2sB8s8s8sqB"
_QUESTION_MAGIC = b"VQ"
_ANSWER_MAGIC = b"VT"
_QUESTION_TAG = const(8)
_ANSWER_TAG = const(16)
_QUESTION_LABEL = b"vitalkeep time question"
_ANSWER_LABEL = b"vitalkeep time answer"


class TimeAnswer:
    """A site's word on the time: UTC in ms when it answered, and one of SYNC_*."""

    def __init__(self, site, nonce, utc_ms, sync):
        self.site = site
        self.nonce = nonce
        self.utc_ms = utc_ms
        self.sync = sync


def pack_question(key, gateway, nonce):
    """Return the question of a gateway; `key` is its uplink key, the nonce 8 fresh bytes."""
    body = struct.pack(_QUESTION, _QUESTION_MAGIC, TIME_VERSION, gateway, nonce, b"")
    return body + hmac_sha256(key, _QUESTION_LABEL, body)[:_QUESTION_TAG]


def asker(payload):
    """Return which gateway a question claims to be from; raises FormatError when it is none."""
    if len(payload) != TIME_SIZE or payload[:2] != _QUESTION_MAGIC:
        raise FormatError("time question: %d bytes, want %d" % (len(payload), TIME_SIZE))
    if payload[2] != TIME_VERSION:
        raise FormatError("time question: version %d, want %d" % (payload[2], TIME_VERSION))
    return bytes(payload[3:11])


def parse_question(payload, key):
    """Return the nonce of a question that `asker` takes for one; raises TagError."""
    stop = TIME_SIZE - _QUESTION_TAG
    tag = hmac_sha256(key, _QUESTION_LABEL, payload[:stop])[:_QUESTION_TAG]
    if not same(tag, payload[stop:]):
        raise TagError("time question: wrong tag")
    return bytes(payload[11 : 11 + NONCE_SIZE])


def pack_answer(key, gateway, answer):
    """Return the payload of a TimeAnswer; `key` is the receipt key of (gateway, site)."""
    a = answer
    head = (_ANSWER_MAGIC, TIME_VERSION, a.site, gateway, a.nonce, a.utc_ms, a.sync)
    body = struct.pack(_ANSWER, *head)
    return body + hmac_sha256(key, _ANSWER_LABEL, body)[:_ANSWER_TAG]


def parse_answer(payload, key, gateway):
    """Return the TimeAnswer to a gateway; raises FormatError or TagError.

    Whether it is the site that was asked, and the nonce that was sent, is the caller's to compare.
    """
    if len(payload) != TIME_SIZE:
        raise FormatError("time answer: %d bytes, want %d" % (len(payload), TIME_SIZE))
    stop = TIME_SIZE - _ANSWER_TAG
    if not same(hmac_sha256(key, _ANSWER_LABEL, payload[:stop])[:_ANSWER_TAG], payload[stop:]):
        raise TagError("time answer: wrong tag")
    magic, version, site, to, nonce, utc_ms, sync = struct.unpack_from(_ANSWER, payload, 0)
    if magic != _ANSWER_MAGIC or version != TIME_VERSION or to != gateway:
        raise FormatError("time answer: %r version %d" % (magic, version))
    return TimeAnswer(site, nonce, utc_ms, sync)
