"""Questions to a name server and its answers, as far as an address needs them (RFC 1035). Pure.

    id u16 | flags u16 | questions u16 | answers u16 | authorities u16 | additions u16
    question:  name | type u16 | class u16
    answer:    name | type u16 | class u16 | TTL u32 | length u16 | data

Numbers are big-endian. A name is labels of a length byte and its letters, ended by 0, or by a
pointer (two bytes, the upper two bits set) to where the rest stands, earlier in the message.
"""

import struct

from micropython import const

from bridge.core.errors import FormatError

PORT = const(53)
MESSAGE_MAX = const(512)

_HEAD = "!HHHHHH"
_HEAD_SIZE = const(12)
_ASK_RECURSION = const(0x0100)
_IS_ANSWER = const(0x8000)
_IS_CUT = const(0x0200)
_RCODE = const(0x000F)
_NO_SUCH_NAME = const(3)
_TYPE_A = const(1)
_TYPE_CNAME = const(5)
_CLASS_IN = const(1)
_LABEL_MAX = const(63)
_NAME_MAX = const(255)
_ALIASES_MAX = const(8)


def encode_name(host):
    """Return the labels of a name; raises FormatError for one that cannot be asked for."""
    name = bytearray()
    for label in host.lower().split("."):
        letters = label.encode()
        if not 1 <= len(letters) <= _LABEL_MAX:
            raise FormatError("name %r: label of %d letters, want 1 to 63" % (host, len(letters)))
        name.append(len(letters))
        name.extend(letters)
    name.append(0)
    if len(name) > _NAME_MAX:
        raise FormatError("name %r: %d bytes, want at most 255" % (host, len(name)))
    return bytes(name)


def query(id, host):
    """Return the question for the addresses of a host; raises FormatError for a bad name."""
    head = struct.pack(_HEAD, id, _ASK_RECURSION, 1, 0, 0, 0)
    return head + encode_name(host) + struct.pack("!HH", _TYPE_A, _CLASS_IN)


def is_answer(message, question):
    """Say whether a message answers this very question."""
    size = len(question) - _HEAD_SIZE
    if len(message) < len(question) or message[:2] != question[:2]:
        return False
    flags, questions = struct.unpack_from("!HH", message, 2)
    # Servers may repeat the name with other capitals.
    asked = bytes(message[_HEAD_SIZE : _HEAD_SIZE + size]).lower()
    return bool(flags & _IS_ANSWER) and questions == 1 and asked == question[_HEAD_SIZE:].lower()


def parse_answer(message, question):
    """Return (address, TTL in seconds) of the first address in an answer to a question.

    The address is None when there is no such name; aliases are followed within the message.
    Raises FormatError for what is no whole answer, or for a server that failed.
    """
    if not is_answer(message, question):
        raise FormatError("not an answer to this question")
    flags, _, answers = struct.unpack_from("!HHH", message, 2)
    if flags & _RCODE == _NO_SUCH_NAME:
        return None, 0
    if flags & (_RCODE | _IS_CUT):
        raise FormatError("the name server failed, flags 0x%04x" % flags)
    wanted = bytes(question[_HEAD_SIZE:-4]).lower()
    ttl_s = 0x7FFFFFFF
    # An alias may stand after what it leads to.
    for _ in range(_ALIASES_MAX):
        at = len(question)
        found = None
        for _ in range(answers):
            name, at = _read_name(message, at)
            kind, cls, ttl, size = _unpack("!HHIH", message, at)
            at += 10
            if at + size > len(message):
                raise FormatError("answer cut short at %d" % at)
            if name == wanted and cls == _CLASS_IN:
                if kind == _TYPE_A and size == 4:
                    address = "%d.%d.%d.%d" % tuple(message[at : at + 4])
                    return address, min(ttl_s, ttl)
                if kind == _TYPE_CNAME and found is None:
                    found = _read_name(message, at)[0]
                    alias_ttl = ttl
            at += size
        if found is None:
            return None, 0
        wanted, ttl_s = found, min(ttl_s, alias_ttl)
    raise FormatError("more than %d aliases" % _ALIASES_MAX)


def _unpack(form, message, at):
    if at + struct.calcsize(form) > len(message):
        raise FormatError("answer cut short at %d" % at)
    return struct.unpack_from(form, message, at)


def _read_name(message, at):
    """Return the labels of a name, in small letters, and where the bytes after it stand."""
    name = bytearray()
    after = 0
    while True:
        size = _unpack("B", message, at)[0]
        if size & 0xC0 == 0xC0:
            target = _unpack("!H", message, at)[0] & 0x3FFF
            after = after or at + 2
            # Only ever further back: a ring of pointers has an end.
            if target >= at:
                raise FormatError("name at %d points forward" % at)
            at = target
            continue
        if size > _LABEL_MAX or at + 1 + size > len(message):
            raise FormatError("name at %d: label of %d" % (at, size))
        name.extend(message[at : at + 1 + size])
        if len(name) > _NAME_MAX:
            raise FormatError("name of more than 255 bytes")
        at += 1 + size
        if not size:
            return bytes(name).lower(), after or at
