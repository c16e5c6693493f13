"""Topics and payloads between a gateway and a site; the hub imports this very file.

The drawing of each payload is docs/formats/wire.md. All numbers are little-endian.
"""

import json
import struct
from binascii import hexlify, unhexlify

from micropython import const

from bridge.core.errors import FormatError, TagError
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from bridge.core.mac import hmac_sha256, same

WIRE_VERSION = const(1)
RUN_HEAD = const(15)
RUN_TAG = const(8)
RUN_BYTES_MAX = const(1024)
RECEIPT_TAG = const(16)
ENTRIES_MAX = const(12)
MAP_SECTORS_MAX = const(1024)

# The heartbeat's longest body; the receipt's follows from its parts.
STATUS_MAX = const(4096)
RECEIPT_MAX = const(60 + 15 * 12 + 1 + 3 * (7 + 128) + 16)

_RUN = "<B8sIH"
_RECEIPT = "<BB8s8s8s8s8sqqB"
_ENTRY = "<BIH8s"
_MAP = "<BIH"
_RUN_LABEL = b"vitalkeep run"
_STATUS_LABEL = b"vitalkeep status"
_RECEIPT_LABEL = b"vitalkeep receipt"
_CLIENT_LABEL = b"vitalkeep client"
_CLIENT_TAG = const(8)

_HAVE = const(1)


def topic(gateway, leaf):
    """Return the topic of a gateway: leaf is "log/A", "health", "state", "receipt" and so on."""
    return "vk/%s/%s" % (hexlify(gateway).decode(), leaf)


def parse_topic(text):
    """Return (gateway id, leaf) of a topic; raises FormatError when it is not one of ours."""
    parts = text.split("/", 2)
    if len(parts) == 3 and parts[0] == "vk" and len(parts[1]) == 16:
        try:
            return unhexlify(parts[1]), parts[2]
        except ValueError:
            pass
    raise FormatError("topic %r, want vk/<16 hex digits>/..." % text)


def _tag(key, label, gateway, body, size):
    return hmac_sha256(key, label, gateway, body)[:size]


def client_id(key, gateway):
    """Return a gateway's MQTT client identifier, which nobody without its uplink key can guess.

    Whoever names another's identifier ends that one's session, where a broker does not take the
    identifier from the certificate.
    """
    tag = _tag(key, _CLIENT_LABEL, gateway, b"", _CLIENT_TAG)
    return hexlify(gateway).decode() + hexlify(tag).decode()


# --- runs: a stretch of log bytes on its way to a site ---


class Run:
    """Bytes [offset, offset + len(data)) of one sector."""

    def __init__(self, cls, log_id, sector, offset, data):
        self.cls = cls
        self.log_id = log_id
        self.sector = sector
        self.offset = offset
        self.data = data


def run_size(count):
    """Return the payload's size for a run of `count` log bytes."""
    return RUN_HEAD + count + RUN_TAG


def pack_run(payload, key, gateway, cls, log_id, sector, offset, count):
    """Complete a run in place: its log bytes stand in payload[RUN_HEAD : RUN_HEAD + count]."""
    struct.pack_into(_RUN, payload, 0, WIRE_VERSION, log_id, sector, offset)
    body = memoryview(payload)[: RUN_HEAD + count]
    label = _RUN_LABEL + CLASSES[cls].encode()
    tag = _tag(key, label, gateway, body, RUN_TAG)
    payload[RUN_HEAD + count : RUN_HEAD + count + RUN_TAG] = tag


def parse_run(payload, key, gateway, cls):
    """Return the Run in a payload; raises FormatError or TagError."""
    count = len(payload) - RUN_HEAD - RUN_TAG
    if count < 1 or count > RUN_BYTES_MAX:
        raise FormatError("run of %d log bytes, want 1 to %d" % (count, RUN_BYTES_MAX))
    version, log_id, sector, offset = struct.unpack_from(_RUN, payload, 0)
    if version != WIRE_VERSION:
        raise FormatError("run version %d, want %d" % (version, WIRE_VERSION))
    label = _RUN_LABEL + CLASSES[cls].encode()
    body = payload[: RUN_HEAD + count]
    if not same(_tag(key, label, gateway, body, RUN_TAG), payload[RUN_HEAD + count :]):
        raise TagError("run of sector %d offset %d: wrong tag" % (sector, offset))
    if offset + count > SECTOR_SIZE:
        raise FormatError("run ends at %d, want at most %d" % (offset + count, SECTOR_SIZE))
    return Run(cls, log_id, sector, offset, bytes(payload[RUN_HEAD : RUN_HEAD + count]))


# --- status: the heartbeat, authenticated JSON ---


def pack_status(key, gateway, fields):
    """Return tag and JSON of a heartbeat; `fields` is described in docs/formats/wire.md."""
    body = json.dumps(fields).encode()
    if len(body) + RUN_TAG > STATUS_MAX:
        # A site refuses a longer one: better a heartbeat without its counts than none.
        fields = dict(fields, counters={"left_out": len(fields["counters"])})
        body = json.dumps(fields).encode()
    return _tag(key, _STATUS_LABEL, gateway, body, RUN_TAG) + body


def parse_status(payload, key, gateway):
    """Return the fields of a heartbeat; raises FormatError or TagError."""
    if len(payload) > STATUS_MAX or len(payload) < RUN_TAG:
        raise FormatError("status of %d bytes, want at most %d" % (len(payload), STATUS_MAX))
    body = payload[RUN_TAG:]
    if not same(_tag(key, _STATUS_LABEL, gateway, body, RUN_TAG), payload[:RUN_TAG]):
        raise TagError("status: wrong tag")
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise FormatError("status: not JSON", error)
    if not isinstance(fields, dict) or fields.get("v") != WIRE_VERSION:
        raise FormatError("status: version is not %d" % WIRE_VERSION)
    return fields


# --- receipts: a site's word on what it has durably stored ---


class Receipt:
    """A site's word.

    have     True when it answers "what do you have": `maps` and `entries` are then all it has
             of the sectors the gateway named, and sending starts over from there
    entries  list of (class, sector, length, digest): the first `length` bytes of the sector are
             stored, and `digest` is 8 bytes of their SHA-256 (released mark as never cleared)
    maps     list of (class, first sector, count, bits): all below `first` that the gateway holds
             is stored whole, seal included, and sector first + i where bit i is set
    copies   at least so many sites are known to have all that `entries` and `maps` name
    utc_ms   the site's clock when it wrote this
    echo_ms  `mono` of the heartbeat it answers, 0 when it answers none
    """

    def __init__(self, site, epoch, gateway, log_id, nonce):
        self.site = site
        self.epoch = epoch
        self.gateway = gateway
        self.log_id = log_id
        self.nonce = nonce
        self.utc_ms = 0
        self.echo_ms = 0
        self.copies = 1
        self.have = False
        self.entries = []
        self.maps = []


def pack_receipt(receipt, key):
    """Return the payload of a Receipt, authenticated under the key of (gateway, site)."""
    r = receipt
    parts = [
        struct.pack(
            _RECEIPT,
            WIRE_VERSION,
            _HAVE if r.have else 0,
            r.site,
            r.epoch,
            r.gateway,
            r.log_id,
            r.nonce,
            r.utc_ms,
            r.echo_ms,
            r.copies,
        ),
        bytes((len(r.entries),)),
    ]
    for entry in r.entries:
        parts.append(struct.pack(_ENTRY, *entry))
    parts.append(bytes((len(r.maps),)))
    for cls, first, count, bits in r.maps:
        parts.append(struct.pack(_MAP, cls, first, count))
        parts.append(bits)
    body = b"".join(parts)
    return body + _tag(key, _RECEIPT_LABEL, r.gateway, body, RECEIPT_TAG)


def parse_receipt(payload, key, gateway):
    """Return the Receipt in a payload; raises TagError or FormatError."""
    if len(payload) > RECEIPT_MAX or len(payload) < RECEIPT_TAG:
        raise FormatError("receipt of %d bytes, want at most %d" % (len(payload), RECEIPT_MAX))
    stop = len(payload) - RECEIPT_TAG
    body = payload[:stop]
    if not same(_tag(key, _RECEIPT_LABEL, gateway, body, RECEIPT_TAG), payload[stop:]):
        raise TagError("receipt: wrong tag")
    fields = _unpack(_RECEIPT, body, 0)
    if fields[0] != WIRE_VERSION or fields[4] != gateway:
        raise FormatError("receipt version %d for %s" % (fields[0], hexlify(fields[4])))
    receipt = Receipt(*fields[2:7])
    receipt.have = bool(fields[1] & _HAVE)
    receipt.utc_ms, receipt.echo_ms, receipt.copies = fields[7:10]
    at = struct.calcsize(_RECEIPT)
    count = _unpack("B", body, at)[0]
    at += 1
    for _ in range(count):
        receipt.entries.append(_unpack(_ENTRY, body, at))
        at += struct.calcsize(_ENTRY)
    count = _unpack("B", body, at)[0]
    at += 1
    for _ in range(count):
        cls, first, sectors = _unpack(_MAP, body, at)
        at += struct.calcsize(_MAP)
        bits = bytes(body[at : at + (sectors + 7) // 8])
        at += (sectors + 7) // 8
        receipt.maps.append((cls, first, sectors, bits))
    if at != len(body):
        raise FormatError("receipt: %d bytes, want %d" % (len(body), at))
    return receipt


def _unpack(form, body, at):
    if at + struct.calcsize(form) > len(body):
        raise FormatError("receipt: %d bytes, cut short at %d" % (len(body), at))
    return struct.unpack_from(form, body, at)
