"""Modbus RTU master on an RS485 bus: reads registers of several units, and never writes.

    request  address | function | start u16 | count u16 | CRC-16, low byte first
    answer   address | function | bytes u8 | registers, big-endian | CRC-16

Answers are delimited by their predicted length and the CRC; the silence of 3.5 characters between
frames cannot be timed by an event loop. An echo of the own request is dropped.
Source: MODBUS application protocol V1.1b3 and MODBUS over serial line V1.02, modbus.org.

Options, with a unit and an item as an example:

    {"poll_ms": 1000, "timeout_ms": 300, "units": [{"address": 17, "blocks": [
        {"function": 4, "start": 0, "count": 3, "items": [
            {"offset": 0, "type": "u16", "parameter": 96, "decimals": 1}]}]}]}

An item may have "scale" (a whole factor), "order" (ABCD, CDAB, BADC, DCBA) and "invalid" (raw
values that mean "no value").
"""

import struct

from micropython import const

from bridge.core.checks import crc16_modbus
from bridge.core.errors import ConfigError
from bridge.core.events import NO_VALUE, VALID, Damage, Observation
from bridge.core.rxbuf import RxBuffer

# All that this driver can ever send: the four functions that read.
READS = (1, 2, 3, 4)

_REQUEST_SIZE = const(8)
_EXCEPTION_SIZE = const(5)
_HEAD = const(3)
_COUNT_MAX = const(125)
_UNITS_MAX = const(16)
_BLOCKS_MAX = const(8)
_ITEMS_MAX = const(64)
_GAP_MS = const(25)  # slow slaves need more than 3.5 characters between frames
_RX = const(2 * (3 + 250 + 2))

# type: registers
_TYPES = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2}
_ORDERS = {"ABCD": (0, 1, 2, 3), "CDAB": (2, 3, 0, 1), "BADC": (1, 0, 3, 2), "DCBA": (3, 2, 1, 0)}


class _Item:
    """One parameter in a block of registers."""

    def __init__(self, options, where):
        self.type = _one_of(options, "type", _TYPES, where)
        self.order = _ORDERS[_one_of(options, "order", _ORDERS, where, "ABCD")]
        self.offset = _number(options, "offset", 0, _COUNT_MAX - 1, where)
        self.parameter = _number(options, "parameter", 1, 0xFFFF, where)
        self.decimals = _number(options, "decimals", 0, 6, where, 0)
        self.scale = _number(options, "scale", 1, 100000, where, 1)
        self.invalid = tuple(options.get("invalid", ()))
        self.size = 2 * _TYPES[self.type]


class _Block:
    """A stretch of registers of one unit, read at once; `group` is its number in the unit."""

    def __init__(self, address, group, options):
        where = "modbus_rtu: unit %d block %d" % (address, group)
        self.address = address
        self.group = group
        self.function = _one_of(options, "function", READS, where)
        start = _number(options, "start", 0, 0xFFFF, where)
        count = _number(options, "count", 1, _COUNT_MAX, where)
        items = options.get("items", ())
        if not 0 < len(items) <= _ITEMS_MAX:
            raise ConfigError("%s: %d items, want 1 to %d" % (where, len(items), _ITEMS_MAX))
        self.items = [_Item(item, where) for item in items]
        self.bytes = 2 * count if self.function > 2 else (count + 7) // 8
        for item in self.items:
            if 2 * item.offset + item.size > self.bytes:
                raise ConfigError("%s: item at %d is outside" % (where, item.offset))
        request = bytearray(_REQUEST_SIZE)
        struct.pack_into(">BBHH", request, 0, address, self.function, start, count)
        struct.pack_into("<H", request, 6, crc16_modbus(request, 0, 6))
        self.request = bytes(request)


def _number(options, name, low, high, where, default=None):
    value = options.get(name, default)
    if not isinstance(value, int) or not low <= value <= high:
        raise ConfigError("%s: %s is %r, want %d to %d" % (where, name, value, low, high))
    return value


def _one_of(options, name, allowed, where, default=None):
    value = options.get(name, default)
    if value not in allowed:
        raise ConfigError("%s: %s is %r" % (where, name, value))
    return value


class ModbusDecoder:
    """The master of one bus: one request open at a time, units in turn."""

    def __init__(self, options):
        self.rx = RxBuffer(_RX)
        self._poll_ms = _number(options, "poll_ms", 50, 600000, "modbus_rtu", 1000)
        self._timeout_ms = _number(options, "timeout_ms", 20, 5000, "modbus_rtu", 300)
        self._blocks = []
        units = options.get("units", ())
        if not 0 < len(units) <= _UNITS_MAX:
            raise ConfigError("modbus_rtu: %d units, want 1 to %d" % (len(units), _UNITS_MAX))
        for unit in units:
            address = _number(unit, "address", 1, 247, "modbus_rtu")
            blocks = unit.get("blocks", ())
            if not 0 < len(blocks) <= _BLOCKS_MAX:
                raise ConfigError("modbus_rtu: unit %d: %d blocks" % (address, len(blocks)))
            for group, block in enumerate(blocks):
                self._blocks.append(_Block(address, group, block))
        self._observation = Observation(_ITEMS_MAX)
        self._damage = Damage()
        self._open = None  # the block that was asked for
        self._echo = False  # the request itself may still come back
        self._missed = 0
        self._turn = 0
        self._due_ms = None
        self._asked_ms = 0
        self._quiet_ms = 0  # not before this may the next request go out
        self._now_ms = 0

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        self._now_ms = now_ms
        if self._due_ms is None:
            self._due_ms = self._quiet_ms = now_ms
        if self._open is not None:
            if now_ms - self._asked_ms < self._timeout_ms:
                return None
            self._open = None
            self._missed += 1
        if now_ms < self._quiet_ms:
            return None
        if self._turn == 0:
            if now_ms < self._due_ms:
                return None
            self._due_ms = max(self._due_ms + self._poll_ms, now_ms)
        block = self._blocks[self._turn]
        self._turn = (self._turn + 1) % len(self._blocks)
        self._open = block
        self._echo = True
        self._asked_ms = now_ms
        return block.request

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._missed:
            self._missed -= 1
            return self._spoilt("timeout", 1)
        rx = self.rx
        if self._open is None:
            if not rx.count:
                return None
            count = rx.count
            rx.drop(count)
            return self._spoilt("noise", count)
        block = self._open
        skipped = self._seek(block)
        if skipped:
            rx.drop(skipped)
            return self._spoilt("noise", skipped)
        if rx.count < _EXCEPTION_SIZE:
            return None
        if self._is_echo(block):
            rx.drop(_REQUEST_SIZE)
            self._echo = False
            return self.next_event()
        size = self._size(block)
        if not size:
            rx.drop(1)
            return self._spoilt("length", 1)
        if rx.count < size:
            return None
        data = rx.data
        if crc16_modbus(data, 0, size - 2) != data[size - 2] | data[size - 1] << 8:
            rx.drop(1)  # one byte only: the real answer may start inside
            return self._spoilt("check", 1)
        self._open = None
        self._quiet_ms = self._now_ms + _GAP_MS
        if size == _EXCEPTION_SIZE and data[1] & 0x80:
            rx.drop(size)
            return self._spoilt("refused", 1)
        self._fill(block)
        rx.drop(size)
        return self._observation

    def _seek(self, block):
        """Return how many bytes stand before what may be the answer: address, function."""
        data, count = self.rx.data, self.rx.count
        for index in range(count):
            if data[index] == block.address and (
                index + 1 == count or data[index + 1] & 0x7F == block.function
            ):
                return index
        return count

    def _is_echo(self, block):
        if not self._echo or self.rx.count < _REQUEST_SIZE:
            return False
        data, request = self.rx.data, block.request
        for index in range(_REQUEST_SIZE):
            if data[index] != request[index]:
                return False
        return True

    def _size(self, block):
        """Return the size that the answer at the front must have, 0 when it is none."""
        data = self.rx.data
        if data[1] & 0x80:
            return _EXCEPTION_SIZE
        if data[2] == block.bytes:
            return _HEAD + block.bytes + 2
        if self._echo and self.rx.count < _REQUEST_SIZE:
            return _REQUEST_SIZE  # perhaps our own request, not whole yet
        return 0

    def _spoilt(self, kind, count):
        self._damage.kind = kind
        self._damage.count = count
        return self._damage

    # --- registers ---

    def _fill(self, block):
        made = self._observation
        made.begin(block.address, block.group)
        for index in range(len(block.items)):
            item = block.items[index]
            raw = self._raw(item, _HEAD + 2 * item.offset)
            if item.type == "f32":
                self._add_float(item, raw)
            elif raw in item.invalid:
                made.add(item.parameter, 0, item.decimals, NO_VALUE)
            else:
                made.add(item.parameter, raw * item.scale, item.decimals, VALID)

    def _raw(self, item, at):
        data = self.rx.data
        if item.size == 2:
            raw = data[at] << 8 | data[at + 1]
            return raw - 0x10000 if item.type == "i16" and raw & 0x8000 else raw
        raw = 0
        for index in range(4):
            raw = raw << 8 | data[at + item.order[index]]
        return raw - 0x100000000 if item.type == "i32" and raw & 0x80000000 else raw

    def _add_float(self, item, raw):
        made = self._observation
        number = struct.unpack(">f", struct.pack(">I", raw))[0]
        scaled = number * item.scale * 10**item.decimals
        # Also true for what is not a number; beyond 31 bits there is no place for it.
        if raw in item.invalid or not -1073741824.0 < scaled < 1073741823.0:
            made.add(item.parameter, 0, item.decimals, NO_VALUE)
        else:
            made.add(item.parameter, round(scaled), item.decimals, VALID)
