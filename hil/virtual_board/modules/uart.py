"""`machine.UART` over a pseudo-terminal of the rig.

What a port buffers is bounded: bytes that come while the firmware's Python stands still fill the
hardware's FIFO and the ring of `rxbuf` bytes; those beyond are dropped without a word to the
firmware, and the rig is told how many. Speed, parity and framing are not modelled: the far end
must pace its bytes. (The kernel holds about 4 KB for a stalled board, 4 s at 9600 bit/s.)
"""

import io
import time

import vboard

_FIFO = 128  # ESP32 (technical reference manual, UART: RX FIFO)
_POLL = 3  # requests of MicroPython's stream protocol (py/stream.h)
_POLL_READ = 1
_POLL_WRITE = 4
_CLOSE = 4
_FILENO = 10

_ports = {}  # by number; one that is opened anew takes the place of the old


_ALL = 1 << 20
_LOOK_MS = 50  # the kernel's buffer is smaller than the longest stall


def stand_still_ms(duration_ms, fifo=_ALL):
    """Let no Python run. With interrupts off a port keeps `fifo` bytes of what comes meanwhile."""
    left = {}
    began_us = time.ticks_us()
    for number, port in _ports.items():
        port._pump()
        left[number] = fifo
    while True:
        # To a point in time: this computer may wake us late, and a board's stall ends by itself.
        rest_us = duration_ms * 1000 - time.ticks_diff(time.ticks_us(), began_us)
        if rest_us <= 0:
            return
        time.sleep_ms(min((rest_us + 999) // 1000, _LOOK_MS))
        for number, port in _ports.items():
            left[number] = port._pump(left[number])


def _collect():
    stand_still_ms(vboard.settings["stalls"]["collect_ms"])


# The collector of a full heap takes its time as well. It takes none here, where the heap is small.
time.set_pause(vboard.settings["stalls"]["collect_each_ms"], _collect)


def pump():
    """Take in what has come to any port."""
    for port in _ports.values():
        port._pump()


def by_dma(number, take):
    """Hand all that comes to port `number` to `take(bytes)`, whatever interrupts do."""
    _ports[number]._take = take


class UART(io.IOBase):
    """machine.UART that returns what is there and never waits: timeout=0 and timeout_char=0."""

    INV_TX = 1
    INV_RX = 2
    RTS = 1
    CTS = 2

    def __init__(self, id, baudrate=115200, bits=8, parity=None, stop=1, **options):
        # A descriptor that the rig opened without blocking, which a path opened here would.
        fd = vboard.settings["uarts"].get(str(id))
        if fd is None:
            raise ValueError("UART(%d) does not exist" % id)
        self._id = id
        self._file = open(fd, "r+b", 0)  # noqa: SIM115  open as long as the UART
        self._always = open(vboard.settings.get("host", "") + "/dev/zero", "rb", 0)  # noqa: SIM115
        self._character_us = 1000000 * (1 + bits + (parity is not None) + stop) // baudrate
        self._sent_at = time.ticks_us()  # when the last bit of what was written has left
        self._ring = bytearray(options.get("rxbuf", 256) + _FIFO)
        self._view = memoryview(self._ring)
        self._count = 0
        self._spare = bytearray(256)
        self._spare_view = memoryview(self._spare)
        self._take = None
        self._dropped = 0
        # What came before the port was opened was never received.
        while self._file.readinto(self._spare):
            pass
        _ports[id] = self

    def _pump(self, most=_ALL):
        """Take in what came since the last look, as the interrupt did at its own time.

        most  bytes that were kept somewhere meanwhile: the FIFO's size if interrupts were off;
              returns what is left of it
        """
        while True:
            count = self._file.readinto(self._spare)
            if not count:
                return most
            if self._take:
                self._take(self._spare_view[:count])
                continue
            room = min(count, len(self._ring) - self._count, most)
            most -= room
            self._view[self._count : self._count + room] = self._spare_view[:room]
            self._count += room
            if room < count:
                self._dropped += count - room
                vboard.tell("overruns-%s" % self._id, str(self._dropped))

    def any(self):
        self._pump()
        return self._count

    def readinto(self, buffer, size=None):
        """Return the number of bytes taken, None when nothing has come."""
        self._pump()
        count = min(len(buffer) if size is None else size, self._count)
        if not count:
            return None
        memoryview(buffer)[:count] = self._view[:count]
        self._count -= count
        self._view[: self._count] = self._view[count : count + self._count]
        return count

    def read(self, size=-1):
        """Return up to `size` bytes, None when nothing has come."""
        self._pump()
        data = bytearray(self._count if size is None or size < 0 else min(size, self._count))
        return bytes(data) if self.readinto(data) else None

    def readline(self):
        """Return what is there up to the end of a line, None when nothing has come."""
        self._pump()
        end = self._ring.find(b"\n", 0, self._count)
        return self.read(self._count if end < 0 else end + 1)

    def write(self, data):
        """Send `data`; what nobody at the far end takes is gone, as on a wire."""
        now = time.ticks_us()
        if time.ticks_diff(self._sent_at, now) < 0:
            self._sent_at = now
        self._sent_at = time.ticks_add(self._sent_at, self._character_us * len(data))
        self._file.write(data)
        return len(data)

    def txdone(self):
        return time.ticks_diff(self._sent_at, time.ticks_us()) <= 0

    def flush(self):
        """Stop Python until the last bit of what was written has left, as the port does."""
        left_us = time.ticks_diff(self._sent_at, time.ticks_us())
        if left_us > 0:
            time.sleep_us(left_us)

    def deinit(self):
        # Closing would take the descriptor from a UART that is opened anew.
        self._count = 0

    def ioctl(self, operation, argument):
        if operation == _FILENO:
            # The kernel polls for us, and knows nothing of what is in the ring already.
            return (self._always if self._count else self._file).fileno()
        if operation == _POLL:
            self._pump()
            return argument & (_POLL_WRITE | (_POLL_READ if self._count else 0))
        return 0 if operation == _CLOSE else -22
