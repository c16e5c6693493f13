"""Commands to a gateway and its replies; the host tools import this very file.

The drawing is docs/formats/wire.md. Both are authenticated under the gateway's command key. A
command names the session that it is for, and its number is above that of the one before: nobody
can send one again.
"""

import json
import struct

from micropython import const

from bridge.core.errors import FormatError, TagError
from bridge.core.mac import hmac_sha256, same

COMMAND_VERSION = const(1)
COMMAND_MAX = const(900)  # bytes of a payload: the gateway's buffer has room for a packet of 1 KB
REPLY_BYTES_MAX = const(600)  # of JSON in one part
REPLY_PARTS_MAX = const(64)
_TAG = const(16)

_COMMAND = "<B8sQ"
_REPLY = "<B8sQBB"
_COMMAND_HEAD = const(17)
_REPLY_HEAD = const(19)
_COMMAND_LABEL = b"vitalkeep order"
_REPLY_LABEL = b"vitalkeep reply"


class Command:
    """What a gateway is told to do.

    nonce   8 bytes, of the session that it is for
    number  above that of the command before; its sender takes UTC milliseconds
    fields  dict with "do", the name of what to do
    """

    def __init__(self, nonce, number, fields):
        self.nonce = nonce
        self.number = number
        self.fields = fields


class ReplyPart:
    """A part of the JSON that answers command `number`; `part` counts from 0 to `parts` - 1."""

    def __init__(self, nonce, number, part, parts, data):
        self.nonce = nonce
        self.number = number
        self.part = part
        self.parts = parts
        self.data = data


def _sealed(key, label, gateway, body):
    return body + hmac_sha256(key, label, gateway, body)[:_TAG]


def _opened(payload, key, label, gateway, head, name):
    """Return what stands before the tag; raises FormatError or TagError."""
    stop = len(payload) - _TAG
    if stop < head or len(payload) > COMMAND_MAX:
        text = "%s of %d bytes, want %d to %d"
        raise FormatError(text % (name, len(payload), head + _TAG, COMMAND_MAX))
    body = payload[:stop]
    if not same(hmac_sha256(key, label, gateway, body)[:_TAG], payload[stop:]):
        raise TagError("%s: wrong tag" % name)
    if body[0] != COMMAND_VERSION:
        raise FormatError("%s version %d, want %d" % (name, body[0], COMMAND_VERSION))
    return body


def pack_command(command, key, gateway):
    """Return the payload of a Command; raises FormatError when it is too long."""
    body = struct.pack(_COMMAND, COMMAND_VERSION, command.nonce, command.number)
    body += json.dumps(command.fields).encode()
    if len(body) + _TAG > COMMAND_MAX:
        raise FormatError("command of %d bytes, want at most %d" % (len(body), COMMAND_MAX - _TAG))
    return _sealed(key, _COMMAND_LABEL, gateway, body)


def parse_command(payload, key, gateway):
    """Return the Command in a payload; raises FormatError or TagError."""
    body = _opened(payload, key, _COMMAND_LABEL, gateway, _COMMAND_HEAD, "command")
    _, nonce, number = struct.unpack_from(_COMMAND, body, 0)
    try:
        fields = json.loads(body[_COMMAND_HEAD:])
    except ValueError as error:
        raise FormatError("command: not JSON", error)
    if not isinstance(fields, dict) or not isinstance(fields.get("do"), str):
        raise FormatError("command: nothing to do")
    return Command(nonce, number, fields)


def pack_replies(fields, command, key, gateway):
    """Yield the payloads of the parts that answer a Command; raises FormatError for too many."""
    data = json.dumps(fields).encode()
    parts = -(-len(data) // REPLY_BYTES_MAX)
    if parts > REPLY_PARTS_MAX:
        raise FormatError("reply of %d bytes" % len(data))
    for part in range(parts):
        head = struct.pack(_REPLY, COMMAND_VERSION, command.nonce, command.number, part, parts)
        at = part * REPLY_BYTES_MAX
        yield _sealed(key, _REPLY_LABEL, gateway, head + data[at : at + REPLY_BYTES_MAX])


def parse_reply(payload, key, gateway):
    """Return the ReplyPart in a payload; raises FormatError or TagError."""
    body = _opened(payload, key, _REPLY_LABEL, gateway, _REPLY_HEAD, "reply")
    _, nonce, number, part, parts = struct.unpack_from(_REPLY, body, 0)
    if part >= parts or parts > REPLY_PARTS_MAX:
        raise FormatError("reply: part %d of %d" % (part, parts))
    return ReplyPart(nonce, number, part, parts, body[_REPLY_HEAD:])
