"""Modbus ASCII master: the RTU master's map, schedule and reads, in lines of hexadecimal digits.

    ":" address function data LRC CR LF    two upper-case digits a byte; LRC: their sum negated

Only functions 1 to 4 are ever sent: they read. Options are those of modbus_rtu.
Speed often 9600 bit/s 7E1. Source: MODBUS over serial line V1.02, modbus.org.
"""

from micropython import const

from bridge.core.checks import sum8
from bridge.core.digits import hex_digit, hex_pair
from bridge.core.protocols.modbus_rtu import ModbusDecoder

PORTS = ("9600 7E1", "19200 7E1", "9600 8N1", "19200 8N1")

_LINE_MAX = const(1 + 2 * 254 + 2)
_FRAME_MAX = const(255)
_REQUEST_SIZE = const(6)  # without its check
_COLON = const(0x3A)
_DATA_AT = const(3)


class ModbusAsciiDecoder(ModbusDecoder):
    """The master of one bus: one request open at a time, blocks in turn."""

    name = "modbus_ascii"
    rx_size = _LINE_MAX + 40  # after an echo and some junk

    def __init__(self, options):
        super().__init__(options)
        self._frame = bytearray(_FRAME_MAX)
        for block in self._blocks:
            block.request = _line(block.request)

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._missed:
            self._missed -= 1
            return self._damage.of("timeout", 1)
        rx = self.rx
        data = rx.data
        block = self._open
        while rx.count:
            if block is None:
                return self._drop(rx.count, "noise")
            start = data.find(b":", 0, rx.count)
            if start:
                return self._drop(rx.count if start < 0 else start, "noise")
            end = data.find(b"\n", 0, rx.count)
            again = data.find(b":", 1, rx.count if end < 0 else end)
            if again > 0:
                return self._drop(again, "format")
            if end < 0:
                return self._drop(1, "length") if rx.count == len(data) else None
            if self._is_request(block, end + 1):
                rx.drop(end + 1)  # what is sent on two wires comes back
                continue
            return self._take(block, end + 1)
        return None

    def _is_request(self, block, size):
        if size != len(block.request):
            return False
        for index in range(size):
            if self.rx.data[index] != block.request[index]:
                return False
        return True

    def _take(self, block, size):
        """Return the event of the line at the front of the buffer."""
        count = self._unpack(size)
        if count < 0:
            return self._drop(size, "format")
        frame = self._frame
        if sum8(frame, 0, count):
            return self._drop(size, "check")
        if frame[0] != block.unit.address or frame[1] & 0x7F != block.function:
            return self._drop(size, "noise")
        is_refused = frame[1] & 0x80
        if count != (4 if is_refused else _DATA_AT + block.data_size + 1):
            return self._drop(size, "length")
        if not is_refused:
            if frame[2] != block.data_size:
                return self._drop(size, "length")
            self._read(block, frame)
        self.rx.drop(size)
        block.unit.silent = False
        self._close()
        return self._damage.of("refused", 1) if is_refused else self._observation

    def _unpack(self, size):
        """Put the line's bytes into `_frame`; return how many, -1 when it has other characters."""
        data = self.rx.data
        if size < 11 or data[size - 2] != 0x0D or size % 2 == 0:
            return -1
        count = 0
        for at in range(1, size - 2, 2):
            byte = hex_pair(data, at)
            if byte < 0 or count == _FRAME_MAX:
                return -1
            self._frame[count] = byte
            count += 1
        return count


def _line(request):
    """Return the line of a request that was made for RTU."""
    out = bytearray(b":")
    check = -sum8(request, 0, _REQUEST_SIZE) & 0xFF
    for byte in request[:_REQUEST_SIZE] + bytes((check,)):
        out.append(hex_digit(byte >> 4))
        out.append(hex_digit(byte & 15))
    return bytes(out + b"\r\n")
