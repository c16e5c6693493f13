"""How many sites have each sector, and what that allows: the release policy by class. Pure."""

from micropython import const

from bridge.core.journal.layout import CLASSES

_A_WANTS = const(2)  # sites, where the ward has two; B and C want one
_STEP = const(16)


class Copies:
    """Marks the journal's sectors with what all senders together know.

    senders  one Sender a site
    """

    def __init__(self, journal, senders):
        self._journal = journal
        self._senders = senders
        self._cls = len(CLASSES)  # where a count is, past the last class when there is none
        self._number = 0

    def stored(self, cls, number, told=1):
        """A site has a whole closed sector; it knows that `told` sites in all have it."""
        count = 0
        for sender in self._senders:
            copies = sender.copies(cls, number)
            count += copies > 0
            told = max(told, copies)
        count = max(count, told) if count else 0
        if count >= (min(_A_WANTS, len(self._senders)) if cls == 0 else 1):
            self._journal.release(cls, number)
        elif count:
            self._journal.copied(cls, number)

    def recount(self):
        """A site lost its store: what was said to be stored may not be. Begins all over."""
        self._journal.pool.forget_copies()
        for sender in self._senders:
            sender.forget_copies()
        self.count()

    def count(self):
        """A site has said what it has: go over all sectors, a few at each step."""
        self._cls = self._number = 0

    def step(self):
        """Do a little of a count; returns True while there is more."""
        if self._cls >= len(CLASSES):
            return False
        oldest, newest = self._journal.pool.oldest(self._cls), self._journal.newest(self._cls)[0]
        first = max(self._number, oldest)
        for number in range(first, min(first + _STEP, newest)):
            self.stored(self._cls, number)
        self._number = first + _STEP
        if self._number >= newest:
            self._cls += 1
            self._number = 0
        return True
