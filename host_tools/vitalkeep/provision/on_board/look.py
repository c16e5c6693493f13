"""What runs on a board to see whose it is; prints one literal. ORDER comes before this text.

ORDER = {"files": [paths to hash], "feed": whether a watchdog may be running}

No secret is printed: of the keys the identity's hash and how many are left.
"""

import binascii
import hashlib

import machine
import wiring

from bridge.core.errors import BridgeError, FormatError
from bridge.core.journal import layout
from bridge.core.journal.keyring import SLOT_SIZE, SPARES, KeyRing, identity_size, pack_identity
from bridge.release import VERSION
from bridge.storage.medium import open_medium

_SEED_MARK = 0xA5


def _hex(data):
    return binascii.hexlify(data).decode()


def _hash(data):
    return _hex(hashlib.sha256(data).digest())


def _keys(found):
    try:
        medium = open_medium(wiring.KEYS)
    except BridgeError as error:
        found["keys"], found["why"] = "unreachable", str(error)
        return
    found["blocks"] = medium.ioctl(4, 0)
    try:
        ring = KeyRing(medium)
    except FormatError:
        data = bytearray(identity_size())
        medium.readblocks(0, data, 0)
        found["keys"] = "blank" if data == b"\xff" * len(data) else "damaged"
        return
    who = ring.identity
    found["keys"] = "gateway"
    found["gateway"], found["log"] = _hex(who.gateway), _hex(who.log_id)
    found["sites"] = [_hex(site) for site, _ in who.sites]
    found["identity"] = _hash(pack_identity(who))
    ring.recover()
    found["spares"] = ring.spares
    epochs = [slot.epoch for slot in ring.slots]
    found["epoch"] = max(epochs) if epochs else _ended(medium)
    found["slots"] = len(ring.slots)


def _ended(medium):
    """Return the key epoch that has ended where none has begun: that before the first seed."""
    seeds = []
    data = bytearray(4)
    for number in range(SPARES):
        medium.readblocks(medium.ioctl(4, 0) - 1, data, number * SLOT_SIZE)
        if data[0] == _SEED_MARK:
            seeds.append(data[2] | data[3] << 8)
    return min(seeds) - 1 if seeds else 0


def _journal(found):
    """Count what the log's sectors hold; nothing is opened."""
    try:
        medium = open_medium(wiring.JOURNAL)
    except BridgeError as error:
        found["keys"], found["why"] = "unreachable", str(error)
        return
    counts = {"sectors": medium.ioctl(4, 0), "blank": 0, "unreadable": 0}
    logs = {}
    data = bytearray(layout.HEADER_SIZE)
    for sector in range(counts["sectors"]):
        medium.readblocks(sector, data, 0)
        if all(byte == 0xFF for byte in data):
            counts["blank"] += 1
            continue
        try:
            header = layout.parse_header(data)
        except FormatError:
            counts["unreadable"] += 1
            continue
        name = _hex(header.gateway) + "/" + _hex(header.log_id)
        logs[name] = logs.get(name, 0) + 1
    counts["logs"] = logs
    found["journal"] = counts


def _files(found):
    for path in ORDER["files"]:
        try:
            with open(path, "rb") as file:
                found["files"][path] = _hash(file.read())
        except OSError:
            pass  # not there


if ORDER["feed"]:
    machine.WDT(timeout=8000).feed()
_found = {
    "board": wiring.BOARD,
    "unique_id": _hex(machine.unique_id()),
    "firmware": VERSION,
    "files": {},
}
_keys(_found)
if _found["keys"] != "unreachable":
    _journal(_found)
_files(_found)
print(_found)
