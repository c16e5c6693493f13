"""The published test vectors of the log format, made by the real journal.

    python -m tests.support.vectors > docs/formats/log_vectors.json

Nothing in them is random: another implementation must come to the same bytes.
"""

import json
from array import array
from binascii import hexlify

from bridge.core.events import NO_SAMPLE, NO_VALUE, OVER_RANGE, VALID, Alarm, Observation, Wave
from bridge.core.journal import layout, records
from bridge.core.journal.coder import EVEN, Encoder
from bridge.core.journal.keyring import KeyRing
from bridge.core.journal.reader import SectorReader
from bridge.core.journal.ring import Journal
from bridge.core.journal.seal import (
    FIRST_SEAL,
    Counter,
    next_chain_key,
    resume_key,
    sector_key,
)
from bridge.core.mac import hmac_sha256
from tests.support.gateway import CHAIN_KEYS, DEVICES, EXTRAS, Flash, HandClock, cipher

_ROWS = ((97, 721, 18), (97, 722, 18), (96, 722, None), (98, 719, 21))


def text(data):
    return hexlify(bytes(data)).decode()


def counted(size):
    """Stand in for the random generator: bytes 0, 1, 2 ..."""
    return bytes(index & 0xFF for index in range(size))


def _observation(row):
    made = Observation(3)
    made.begin(0, 0x24)
    made.add(1, row[0], 0, VALID)
    made.add(2, row[1], 1, OVER_RANGE if row[1] > 721 else VALID)
    made.add(0x8000, row[2] or 0, 0, NO_VALUE if row[2] is None else VALID)
    return made


def _journal(flash, clock):
    ring = KeyRing(flash.keys)
    ring.recover()
    devices = [records.Device(*device) for device in DEVICES]
    journal = Journal(flash.log, ring, cipher, counted, clock, devices, EXTRAS)
    journal.recover()
    return journal


def _work(flash):
    clock = HandClock(0x01020304)
    clock.now_ms = 5000
    journal = _journal(flash, clock)
    for row in _ROWS:
        clock.now_ms += 1020
        journal.observation(0, 0, _observation(row), clock.now_ms)
        journal.commit(0)
    alarm = Alarm()
    alarm.page, alarm.code, alarm.priority, alarm.active, alarm.text = 1, 0x2A, 3, True, "APNEA"
    journal.alarm(0, 0, alarm, clock.now_ms)
    journal.event(0, records.SITE_UP, "primary")
    clock.state = layout.CLOCK_SITE
    journal.clock_set(1790000000000, 12)
    wave = Wave(6)
    wave.parameter, wave.decimals, wave.period_us, wave.count = 3, 2, 4000, 6
    wave.samples = array("h", (0, 40, 95, NO_SAMPLE, 180, 170))
    journal.wave(0, 0, wave, clock.now_ms)
    journal.commit(0)
    clock = HandClock(0x01020305)
    journal = _journal(flash, clock)
    clock.now_ms = 900
    journal.observation(0, 0, _observation(_ROWS[0]), clock.now_ms)
    journal.commit(0)
    clock.now_ms += 3700000
    while journal.newest(0)[0] == 0:
        journal.idle()
    return journal


def _frames(data):
    """Return what a walk finds: [(offset, kind, plaintext or fields)]."""
    key = sector_key(CHAIN_KEYS[0], data[: layout.HEADER_SIZE])
    counter = Counter(cipher, key)
    found = []
    at = layout.HEADER_SIZE
    while at < layout.SEAL_AT:
        kind, start, stop, after = layout.look(data, at, layout.SECTOR_SIZE)
        if kind == layout.COMMIT:
            plain = bytearray(data[start:stop])
            counter.apply(plain, 0, len(plain), start)
            found.append({"offset": at, "frame": text(data[at:after]), "coded": text(plain)})
        elif kind == layout.RESUME:
            random = layout.parse_resume(data, at)[0]
            resumed = resume_key(key, random, at)
            counter = Counter(cipher, resumed)
            made = {"offset": at, "frame": text(data[at:after]), "resume_key": text(resumed)}
            found.append(made)
        at = after if kind != layout.END else layout.next_page(at)
    return found


def _record(record):
    said = {"kind": record.kind, "boot": record.boot, "mono_ms": record.mono_ms}
    said["offset"] = record.offset
    if record.kind == records.OBSERVATION:
        said["device"] = record.device.name
        said["values"] = [
            [value.parameter, value.value, value.decimals, value.state] for value in record.values
        ]
    elif record.kind == records.WAVE:
        said["period_us"], said["samples"] = record.period_us, record.samples
    elif record.kind == records.ALARM:
        said["alarm"] = [record.page, record.code, record.priority, record.active, record.text]
    elif record.kind == records.EVENT:
        said["event"] = [record.event, record.text]
    elif record.kind == records.CLOCK:
        said["clock"] = [record.exact_ms, record.utc_ms, record.error_ms, record.clock]
    return said


def _coder():
    encoder, cells = Encoder(64), array("H", (EVEN, EVEN))
    bits = [1 if index % 5 == 0 else 0 for index in range(40)]
    for index, bit in enumerate(bits):
        encoder.bit(cells, index & 1, bit)
    size = encoder.finish()
    return {"bits": bits, "bytes": text(encoder.data[:size]), "cells": list(cells)}


def _counter():
    data = bytearray(40)
    Counter(cipher, bytes(range(32))).apply(data, 0, 40, 74)
    return {"key": text(bytes(range(32))), "offset": 74, "stream": text(data)}


def build():
    """Return the vectors as a dictionary of what JSON can hold."""
    flash = Flash()
    journal = _work(flash)
    sector = bytearray(layout.SECTOR_SIZE)
    journal.read(0, 0, 0, sector)
    end, tag = layout.parse_seal(sector)
    return {
        "aes_256_ctr": _counter(),
        "hmac_sha256": {
            "key": text(CHAIN_KEYS[0]),
            "data": text(b"vitalkeep next"),
            "mac": text(hmac_sha256(CHAIN_KEYS[0], b"vitalkeep next")),
        },
        "range_coder": _coder(),
        "sector": {
            "chain_key": text(CHAIN_KEYS[0]),
            "next_chain_key": text(next_chain_key(CHAIN_KEYS[0])),
            "previous_tag": text(FIRST_SEAL),
            "sector_key": text(sector_key(CHAIN_KEYS[0], sector[: layout.HEADER_SIZE])),
            "header": text(sector[: layout.HEADER_SIZE]),
            "frames": _frames(sector),
            "end": end,
            "tag": text(tag),
            "seal": text(sector[layout.SEAL_AT :]),
            "records": [_record(r) for r in SectorReader(cipher, CHAIN_KEYS[0]).feed(sector)],
        },
    }


if __name__ == "__main__":
    print(json.dumps(build(), indent=1))
