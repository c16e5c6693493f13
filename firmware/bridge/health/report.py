"""The heartbeat's words: how the gateway and its log are (docs/formats/wire.md)."""

import sys
from binascii import hexlify

from bridge.core.journal.layout import CLASSES
from bridge.core.wire import WIRE_VERSION
from bridge.release import VERSION


class Report:
    """Reads a gateway's parts; changes none of them.

    gateway  has identity, journal, clock, counters, recorder, lines, links, tls_room,
             stall_ms_max, days_left()
    """

    def __init__(self, gateway):
        self._gateway = gateway

    def fields(self, sender, nonce, ask, now_ms):
        """Return the fields of a heartbeat to the site of `sender`."""
        gateway = self._gateway
        journal, clock, recorder = gateway.journal, gateway.clock, gateway.recorder
        heads = {}
        backlog = {}
        for cls, name in enumerate(CLASSES):
            newest, end = journal.newest(cls)
            heads[name] = (journal.pool.oldest(cls), newest, end)
            backlog[name] = sender.backlog_bytes(cls)
        lines = []
        for device, name in enumerate(recorder.names):
            heard = recorder.heard_ms[device]
            lines.append({"name": name, "state": "silent" if heard < 0 else "live"})
        return {
            "v": WIRE_VERSION,
            "log": hexlify(gateway.identity.log_id).decode(),
            "nonce": hexlify(nonce).decode(),
            "boot": clock.boot,
            "mono": now_ms,
            "utc": clock.utc_ms(),
            "clock": clock.state,
            "clock_error": clock.error_ms(),
            "ask": ask,
            "heads": heads,
            "pool": (journal.pool.count, journal.pool.ready + journal.pool.unknown),
            "backlog": backlog,
            "hours_left": journal.hours_left(),
            "counters": self._counts(sender),
            "last_error": gateway.counters.last_error,
            "lines": lines,
            "links": gateway.links.report(),
            "classes": "".join(name for cls, name in enumerate(CLASSES) if sender.gets(cls)),
            "certificate_days": gateway.days_left(),
            "micropython": sys.version,
            "firmware": VERSION,
        }

    def _counts(self, sender):
        journal = self._gateway.journal
        counts = dict(self._gateway.counters.values)
        for name, count in (
            ("forced_erases", journal.pool.forced_erases),
            ("set_aside", journal.pool.set_aside),
            ("absurd_log_times", journal.pool.absurd_times),
            ("lost_parameters", journal.lost_parameters),
            ("keys_copied", int(journal.keys.copied)),
            ("lost_commits", journal.lost_commits),
            ("worn", journal.worn),
            ("worn_sectors", journal.pool.worn),
            ("receipt_mismatch", sender.mismatches),
            ("tls_room_missing", self._gateway.tls_room.missing),
            ("stall_ms_max", self._gateway.stall_ms_max),
        ):
            if count:
                counts[name] = count
        for line in self._gateway.lines:
            for name, count in line.errors():
                if count:
                    counts["line%d_%s" % (line.number, name)] = count
        return counts
