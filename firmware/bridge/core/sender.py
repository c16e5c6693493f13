"""What one site has of the logs and what it gets next: live first, backlog beside it.

Pure bookkeeping over the journal; `uplink/forward.py` does the sending. The site says what it
has ("have"), from there on every run that goes out waits in flight for its receipt.
"""

import hashlib

from micropython import const

from bridge.core.journal.layout import BLANK, CLASSES, RELEASED_AT, SEAL_AT, SECTOR_SIZE
from bridge.core.policy import ALL_CLASSES
from bridge.core.share import Share
from bridge.core.wire import RUN_BYTES_MAX

_FLIGHTS_MAX = const(32)
_LIVE_SHARE = const(2)  # the backlog leaves half of the window to live commits, or more
_CHUNK = const(512)
_HOLES_MAX = const(8)
_PATIENCE_MAX = const(4)  # doublings of the time that a site has to say what it has


def named(maps, cls, number):
    """Return True when a receipt's maps say of a sector that it is stored whole."""
    for of_cls, first, count, bits in maps:
        at = number - first
        if of_cls == cls and (at < 0 or (at < count and bits[at >> 3] >> (at & 7) & 1)):
            return True
    return False


class Flight:
    """A run on its way: the site owes a receipt for `cls`, `number` up to `end`.

    old  it is of the backlog
    """

    def __init__(self, cls, number, end, size, sent_ms, old):
        self.cls = cls
        self.number = number
        self.end = end
        self.size = size
        self.sent_ms = sent_ms
        self.old = old


class Sender:
    """The state of one site.

    journal       the Journal
    window_bytes  how many log bytes may wait for receipts
    on_whole      on_whole(cls, number, copies): the site has durably stored a whole closed sector
                  and knows of so many copies; not called for all those that it names in maps
    """

    _chunk = bytearray(_CHUNK)  # one for all: nothing in it outlives a call

    def __init__(self, journal, window_bytes, on_whole):
        self._journal = journal
        self._window_bytes = window_bytes
        self._on_whole = on_whole
        self.epoch = None  # of the site's store: another one voids what it said before
        self.renewals = 0  # how often it came back with another one
        self.mismatches = 0  # receipts whose digest is not that of our flash
        self.classes = ALL_CLASSES  # that it gets, as bits
        self._stands_in = False
        self._share = Share(window_bytes // _LIVE_SHARE)
        self.restart()

    def restart(self):
        """Forget a session: nothing is known until the site says what it has."""
        self.ready = False
        self.asked = 0  # times in a row without an answer
        self._ask_ms = 0
        self.flights = []
        self.in_flight = 0
        self._old_in_flight = 0
        self._share.restart()
        self._live = [(0, 0)] * len(CLASSES)  # (sector number, offset) to send next
        self._old = [(-1, 0)] * len(CLASSES)  # the same in the backlog, -1 before the first
        self._since = [0] * len(CLASSES)  # sectors from this one on were live: no backlog
        self._below = [0] * len(CLASSES)  # every sector below is stored at the site, or gone
        self._whole = [set() for _ in CLASSES]  # and these above
        self.forget_copies()
        self._parts = {}

    def assign(self, classes, stands_in):
        """Say which classes the site gets.

        classes    bits, class number n is 1 << n
        stands_in  it is not the ward's first: of the backlog of classes B and C it is spared
                   what another site has
        """
        for cls in range(len(CLASSES)):
            newest = self._journal.newest(cls)[0]
            if (classes & ~self.classes) >> cls & 1 and self._live[cls][0] != newest:
                self._begin_live(cls)
        self.classes = classes
        self._stands_in = stands_in

    def gets(self, cls):
        """Return True for a class that the site is sent."""
        return self.classes >> cls & 1 != 0

    def has(self, cls, number):
        """Return True when the site has the whole of a sector."""
        return number < self._below[cls] or number in self._whole[cls]

    def copies(self, cls, number):
        """Return how many sites have a sector by this one's word, 0 when it has not itself."""
        if not self.has(cls, number):
            return 0
        return self._copies if named(self._copied, cls, number) else 1

    def forget_copies(self):
        """Forget what the site said of other sites: one of these lost its store."""
        self._copied = ()  # maps, as in a receipt
        self._copies = 1

    # --- receipts ---

    def receipt(self, receipt, now_ms):
        """Take an authenticated receipt of this session."""
        anew = receipt.have and self._is_wanted(receipt)
        if anew:
            self._start_over(receipt)
        elif not self.ready or receipt.epoch != self.epoch:
            return
        elif receipt.maps and not receipt.have:
            self._copied, self._copies = receipt.maps, receipt.copies
        for cls, number, length, digest in receipt.entries:
            if cls >= len(CLASSES) or length > SECTOR_SIZE:
                self.mismatches += 1
            elif self._agrees(cls, number, length, digest):
                self._stored(cls, number, length, receipt.copies, now_ms)
                if anew:
                    self._go_on(cls, number, length)
        for cls in range(len(CLASSES)):
            self._advance(cls)

    def _is_wanted(self, receipt):
        """Say whether sending starts over from what a site says it has.

        A second answer to one question, or one that is replayed, knows nothing of what was sent
        since. What answers no heartbeat comes from a hub that has just begun to serve us.
        """
        if not self.ready or self.asked or receipt.epoch != self.epoch:
            return True
        return receipt.echo_ms == 0

    def _start_over(self, receipt):
        self.restart()
        self.ready = True
        if receipt.epoch != self.epoch:
            self.renewals += self.epoch is not None
            self.epoch = receipt.epoch
        for cls, first, count, bits in receipt.maps:
            if cls >= len(CLASSES):
                self.mismatches += 1
                continue
            # A site can only have what was once closed here, whatever it says.
            newest = max(0, self._journal.newest(cls)[0])
            self._below[cls] = min(first, newest)
            for index in range(min(count, newest - first)):
                if bits[index >> 3] >> (index & 7) & 1:
                    self._whole[cls].add(first + index)
        for cls in range(len(CLASSES)):
            self._begin_live(cls)

    def _begin_live(self, cls):
        newest = self._journal.newest(cls)[0]
        self._live[cls] = (newest, 0)
        self._since[cls] = newest

    def _go_on(self, cls, number, length):
        if not self.has(cls, number):
            if number == self._live[cls][0]:
                self._live[cls] = (number, length)
            else:
                self._parts[(cls, number)] = length

    def _stored(self, cls, number, length, copies, now_ms):
        if length == SECTOR_SIZE or self._is_whole_orphan(cls, number, length):
            self._now_whole(cls, number, copies)
        kept = []
        for flight in self.flights:
            if flight.cls == cls and flight.number == number and flight.end <= length:
                self._landed(flight, now_ms)
            else:
                kept.append(flight)
        self.flights = kept

    def _landed(self, flight, now_ms):
        self.in_flight -= flight.size
        if flight.old:
            self._old_in_flight -= flight.size
            self._share.receipted(flight.size, flight.sent_ms, now_ms)

    def _is_whole_orphan(self, cls, number, length):
        journal = self._journal
        return journal.is_orphan(cls, number) and length == journal.closed_end(cls, number)

    def _now_whole(self, cls, number, copies):
        known = self.has(cls, number)
        if not known:
            self._whole[cls].add(number)
        if not known or copies > 1:
            self._on_whole(cls, number, copies)

    def _advance(self, cls):
        whole = self._whole[cls]
        if len(whole) > _HOLES_MAX:
            # A sector below was overwritten before it was sent: it will not come any more.
            oldest = self._journal.pool.oldest(cls)
            if oldest > self._below[cls]:
                self._below[cls] = oldest
                whole = self._whole[cls] = {number for number in whole if number >= oldest}
        while self._below[cls] in whole:
            whole.remove(self._below[cls])
            self._below[cls] += 1

    def _agrees(self, cls, number, length, digest):
        """Compare the site's digest with our own flash: a receipt for other bytes is none."""
        state = hashlib.sha256()
        chunk = memoryview(self._chunk)
        for offset in range(0, length, _CHUNK):
            part = chunk[: min(_CHUNK, length - offset)]
            if not self._journal.read(cls, number, offset, part):
                return False
            if offset == 0 and length > RELEASED_AT:
                part[RELEASED_AT] = BLANK
            state.update(part)
        if state.digest()[:8] == digest:
            return True
        self.mismatches += 1
        return False

    # --- runs ---

    def next_run(self):
        """Return (cls, sector number, offset, count) of the run to send next, or None."""
        room = self._window_bytes - self.in_flight
        if (
            not self.ready
            or self.asked
            or room < RUN_BYTES_MAX
            or len(self.flights) >= _FLIGHTS_MAX
        ):
            return None
        for cls in range(len(CLASSES)):
            run = self._next_live(cls) if self.gets(cls) else None
            if run:
                return run
        if self._old_in_flight + RUN_BYTES_MAX > self._share.bytes:
            return None
        for cls in range(len(CLASSES)):
            run = self._next_old(cls) if self.gets(cls) else None
            if run:
                return run
        return None

    def news(self):
        """Return True when live commits wait to be sent."""
        if not self.ready:
            return False
        for cls in range(len(CLASSES)):
            if self.gets(cls) and self._journal.newest(cls) > self._live[cls]:
                return True
        return False

    def _next_live(self, cls):
        newest, end = self._journal.newest(cls)
        number, offset = self._live[cls]
        while number < newest:
            run = self._rest_of_closed(cls, number, offset)
            if run:
                return run
            # Closed and sent whole, or overwritten: the next sector is the live one.
            number, offset = number + 1, 0
            self._live[cls] = (number, offset)
        if number >= 0 and offset < end:
            return cls, number, offset, min(RUN_BYTES_MAX, end - offset)
        return None

    def _next_old(self, cls):
        number, offset = self._old[cls]
        oldest = max(self._below[cls], self._journal.pool.oldest(cls))
        if number < oldest:
            number, offset = oldest, self._parts.get((cls, oldest), 0)
        while number < self._since[cls]:
            if not self.has(cls, number) and not self._is_spared(cls, number):
                run = self._rest_of_closed(cls, number, offset)
                if run:
                    self._old[cls] = (number, offset)
                    return run
            number += 1
            offset = self._parts.get((cls, number), 0)
        self._old[cls] = (number, offset)
        return None

    def _is_spared(self, cls, number):
        return self._stands_in and cls > 0 and self._journal.is_copied(cls, number)

    def _rest_of_closed(self, cls, number, offset):
        if offset >= SECTOR_SIZE:
            return None
        end = self._journal.closed_end(cls, number)
        if offset < end:
            return cls, number, offset, min(RUN_BYTES_MAX, end - offset)
        if end < 0 or self._journal.is_orphan(cls, number):
            return None
        # What lies between the end and the seal is blank; the site knows that from the seal.
        return cls, number, SEAL_AT, SECTOR_SIZE - SEAL_AT

    def sent(self, run, now_ms):
        """Say that `run` went out."""
        cls, number, offset, count = run
        end = offset + count
        old = number != self._live[cls][0]
        if old:
            self._old[cls] = (number, end)
            self._old_in_flight += count
        else:
            self._live[cls] = (number, end)
        self.flights.append(Flight(cls, number, end, count, now_ms, old))
        self.in_flight += count

    def asks(self, up, now_ms, wait_ms, urandom):
        """Say whether the heartbeat that goes out now asks what the site has.

        One that is reachable and does not receipt counts as down: it is asked again, and sending
        starts over from its answer. Until then nothing is sent, as it is behind, or has lost what
        is on its way. Its answer speaks of all that was sent before, so nothing goes twice.

        up       it receipts
        wait_ms  what it has for its first answer; then twice as long for each, 16 times at most
        urandom  urandom(1): a random byte, as a ward's gateways must not ask in step
        """
        if (up and self.ready and not self.asked) or (self.asked and now_ms < self._ask_ms):
            return False
        wait_ms <<= min(self.asked, _PATIENCE_MAX)
        self._ask_ms = now_ms + wait_ms - (wait_ms * urandom(1)[0] >> 10)
        self.asked += 1
        return True

    def hurry(self):
        """Ask with the next heartbeat: the site answered the last one in time, so it is back."""
        self._ask_ms = 0

    def overdue_ms(self, now_ms):
        """Return how long the oldest run has waited for its receipt, 0 when none waits."""
        return now_ms - self.flights[0].sent_ms if self.flights else 0

    def backlog_bytes(self, cls):
        """Return how many log bytes of a class this site is owed and was not sent, at a guess."""
        newest, end = self._journal.newest(cls)
        if newest < 0 or not self.gets(cls):
            return 0
        number, offset = self._live[cls]
        total = max(0, end - offset) if number == newest else end
        first = max(self._below[cls], self._journal.pool.oldest(cls))
        closed = max(0, newest - first - len(self._whole[cls]))
        return total + closed * SECTOR_SIZE
