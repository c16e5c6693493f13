"""The open sector of one class: what waits for its next commit, and where that goes."""

from micropython import const

from bridge.core.journal import layout
from bridge.core.journal.layout import COMMIT_MAX, SEAL_AT

_GAP_RESERVE = const(48)  # room every open sector keeps for one gap record


class ClassLog:
    """One class's log while it is written.

    sector    of the medium; -1 while this class has no open sector
    number    of the sector in the log, -1 for none
    end       bytes programmed
    since_ms  when the oldest waiting record came, -1 when none waits
    """

    def __init__(self, cls, writer, flash):
        self.cls = cls
        self.writer = writer
        self.sector = -1
        self.number = -1
        self.end = 0
        self.opened_ms = 0
        self.slot = None
        self.counter = None
        self.since_ms = -1
        self._flash = flash

    def restart(self, mono_ms):
        """Begin a sector or a resume, opened at `mono_ms`."""
        self.writer.restart(mono_ms)
        self.begin(_GAP_RESERVE)

    def begin(self, reserve):
        """Start the next commit: what is left of the sector bounds it, less a reserve."""
        room = SEAL_AT - reserve - self.end - layout.COMMIT_OVERHEAD
        self.writer.begin(min(room, COMMIT_MAX))
        self.since_ms = -1

    def commit(self):
        """Program what waits; return its bytes on flash, 0 when no page of the sector took it."""
        size = self.writer.finish()
        total = self._program(size, self.end)
        if total:
            self.end += total
        else:
            total = self._program_elsewhere(size)
        if total:
            self.begin(_GAP_RESERVE)
        return total

    def _program(self, size, at):
        """Encrypt and program the commit in the writer's buffer; 0 when the flash refused."""
        frame, data = self._flash.frame, self.writer.coder.data
        start = layout.put_length(frame, size)
        for index in range(size):
            frame[start + index] = data[index]
        self.counter.apply(frame, start, start + size, at + start)
        total = layout.put_check(frame, start + size)
        return total if self._flash.write(self.sector, at, total) else 0

    def _program_elsewhere(self, size):
        """Skip to a page of the open sector that takes the commit."""
        torn_at = self.end
        total = layout.frame_size(size)
        while True:
            page = layout.next_page(self.end + total - 1)
            self._flash.void(self.sector, torn_at, min(page, SEAL_AT))
            self.end = page + layout.SKIP_SIZE
            if self.end + total > SEAL_AT - _GAP_RESERVE:
                self.end = min(page, SEAL_AT)
                return 0
            if self._flash.put(self.sector, page, layout.pack_skip(torn_at)):
                if self._program(size, self.end):
                    self.end += total
                    return total
                torn_at = self.end
