"""What a log does to its sectors: program and read back, find the end, compute the seal.

Everything that an append needs is made once, here: an append allocates nothing.
"""

from micropython import const

from bridge.core.journal import layout
from bridge.core.journal.layout import BLANK, COMMIT_MAX, HEADER_SIZE, SEAL_AT
from bridge.core.journal.seal import begin_seal, end_seal

# What is programmed comes in multiples of one of these: ones behind a frame change nothing, and
# a view of every length would take more memory than the frame.
_STEP = const(16)
_LEAP = const(64)
_FRAME_SIZE = COMMIT_MAX + _LEAP
_ZERO = bytearray(1)  # in RAM, as some ports ask
_BLANK_PART = b"\xff" * _LEAP


def _slices(buffer):
    view = memoryview(buffer)
    sizes = list(range(_STEP, _LEAP, _STEP)) + list(range(_LEAP, len(buffer) + 1, _LEAP))
    return [view[:size] for size in sizes]


def _slice(slices, size):
    """Return the shortest of `slices` with at least `size` bytes."""
    if size <= _LEAP:
        return slices[(size - 1) // _STEP]
    return slices[_LEAP // _STEP - 1 + (size - 1) // _LEAP]


def _within(view, offset):
    """Return what of `view` lies within a sector; only a seal, at the very end, is cut short."""
    room = layout.SECTOR_SIZE - offset
    return view if len(view) <= room else view[:room]


class SectorFlash:
    """Reads and programs the sectors of a medium, and says whether it took.

    frame  bytearray of at least COMMIT_MAX + COMMIT_OVERHEAD bytes, to be programmed by `write`
    worn   writes that did not read back as written
    """

    def __init__(self, medium):
        self.frame = bytearray(_FRAME_SIZE)
        self.worn = 0
        self._medium = medium
        self._frames = _slices(self.frame)
        self._part = bytearray(_LEAP)
        self._parts = _slices(self._part)

    def write(self, sector, offset, size):
        """Program frame[:size]; True when it is on flash."""
        frame = self.frame
        view = _slice(self._frames, size)
        for index in range(size, len(view)):
            frame[index] = BLANK
        view = _within(view, offset)
        try:
            self._medium.writeblocks(sector, view, offset)
            if self._holds(sector, offset, size):
                return True
        except OSError:
            pass
        self.worn += 1
        return False

    def _holds(self, sector, offset, size):
        frame, part = self.frame, self._part
        done = 0
        while done < size:
            count = min(_LEAP, size - done)
            view = _within(_slice(self._parts, count), offset + done)
            self._medium.readblocks(sector, view, offset + done)
            for index in range(count):
                if part[index] != frame[done + index]:
                    return False
            done += count
        return True

    def put(self, sector, offset, data):
        """Program `data`; True when it is on flash."""
        for index in range(len(data)):
            self.frame[index] = data[index]
        return self.write(sector, offset, len(data))

    def void(self, sector, offset, end):
        """Have no walk take what stands at an offset for a frame: its first byte becomes 0.

        end  where what may be lost ends
        """
        # This one byte: most of what stands behind it is zeros and ones that hold.
        self._clear(sector, offset, _ZERO)
        part = self._part
        self._medium.readblocks(sector, self._parts[0], offset)
        if part[0] == 0:
            return
        # A stuck bit makes a length of it, and of any byte behind it a check that may fit. Zeros
        # up to the end count more than a check of zeros says.
        for index in range(_LEAP):
            part[index] = 0
        at = offset + 1
        while at < end:
            size = min(_LEAP, end - at) // _STEP * _STEP
            self._clear(sector, at, _slice(self._parts, size) if size else _ZERO)
            at += size or 1

    def _clear(self, sector, offset, zeros):
        try:
            self._medium.writeblocks(sector, zeros, offset)
        except OSError:
            self.worn += 1

    def header(self, sector):
        """Return the bytes of a sector's header."""
        data = bytearray(HEADER_SIZE)
        self._medium.readblocks(sector, data, 0)
        return data

    def is_sealed(self, sector):
        data = bytearray(layout.SEAL_SIZE)
        self._medium.readblocks(sector, data, SEAL_AT)
        return layout.parse_seal(data, 0) is not None

    def used_end(self, sector):
        """Return the end of what was ever programmed before the seal (layout.used_end)."""
        offset = SEAL_AT // _LEAP * _LEAP
        limit = SEAL_AT - offset
        while offset >= 0:
            self._medium.readblocks(sector, self._part, offset)
            while limit and self._part[limit - 1] == BLANK:
                limit -= 1
            if limit:
                return offset + limit
            offset -= _LEAP
            limit = _LEAP
        return 0

    def is_blank(self, sector):
        """Read a whole sector and say whether it is erased."""
        for offset in range(0, layout.SECTOR_SIZE, _LEAP):
            self._medium.readblocks(sector, self._part, offset)
            if self._part != _BLANK_PART:
                return False
        return True

    def tag(self, sector, slot, end):
        """Return the seal's tag over a sector's bytes up to `end`, as they are on flash."""
        mac = begin_seal(slot.key, self.header(sector), slot.previous_seal, end)
        at = HEADER_SIZE
        while at < end:
            size = min(_LEAP, end - at)
            part = self._part if size == _LEAP else memoryview(self._part)[:size]
            self._medium.readblocks(sector, part, at)
            mac.update(part)
            at += size
        return end_seal(mac)
