"""A small site that works: keeps prefixes, receipts them, says what it has."""

import hashlib

from bridge.core import wire
from bridge.core.journal import layout
from tests.support.gateway import GATEWAY, LOG_ID, RECEIPT_KEY, SITE, UPLINK_KEY


class SmallSite:
    """Takes runs as a hub would; `sectors` is {(class, number): bytearray}.

    epoch  of its store; change it and clear `sectors` to lose everything
    """

    def __init__(
        self, epoch=b"epoch--1", uplink_key=UPLINK_KEY, receipt_key=RECEIPT_KEY, site=SITE
    ):
        self.epoch = epoch
        self._site = site
        self.sectors = {}
        self._uplink_key = uplink_key
        self._receipt_key = receipt_key

    def take(self, payload, cls):
        """Store one run and return its position."""
        run = wire.parse_run(payload, self._uplink_key, GATEWAY, cls)
        prefix = self.sectors.setdefault((cls, run.sector), bytearray())
        if run.offset == layout.SEAL_AT and len(prefix) < run.offset:
            prefix.extend(b"\xff" * (run.offset - len(prefix)))
        if run.offset <= len(prefix):
            prefix.extend(run.data[len(prefix) - run.offset :])
        return cls, run.sector

    def entry(self, cls, number):
        prefix = self.sectors[(cls, number)]
        return cls, number, len(prefix), hashlib.sha256(prefix).digest()[:8]

    def receipt(self, nonce, positions):
        made = wire.Receipt(self._site, self.epoch, GATEWAY, LOG_ID, nonce)
        made.entries = [self.entry(*position) for position in positions]
        return made

    def have(self, nonce, heads):
        """Answer "what do you have" for {class: (first, newest)}."""
        made = wire.Receipt(self._site, self.epoch, GATEWAY, LOG_ID, nonce)
        made.have = True
        for cls, (first, newest) in heads.items():
            while len(self.sectors.get((cls, first), b"")) == layout.SECTOR_SIZE:
                first += 1
            count = newest - first + 1
            bits = bytearray((count + 7) // 8)
            for index in range(count):
                prefix = self.sectors.get((cls, first + index), b"")
                if len(prefix) == layout.SECTOR_SIZE:
                    bits[index >> 3] |= 1 << (index & 7)
                elif prefix:
                    made.entries.append(self.entry(cls, first + index))
            made.maps.append((cls, first, count, bytes(bits)))
        return made

    def through_the_wire(self, receipt):
        """Return the receipt as the gateway parses it."""
        payload = wire.pack_receipt(receipt, self._receipt_key)
        return wire.parse_receipt(payload, self._receipt_key, GATEWAY)
