"""Modbus RTU master on an RS485 bus: reads bits and registers of several units, never writes.

    request  address u8 | function u8 | start u16 | count u16 | CRC-16, low byte first
    answer   address u8 | function u8 | bytes u8 | data, big-endian | CRC-16
    refusal  address u8 | function + 0x80 | reason u8 | CRC-16

Answers are delimited by their predicted length and the CRC: the silence of 3.5 characters between
frames cannot be timed by an event loop. An echo of the own request and junk from the switching of
the driver are dropped. An answer names neither its start nor its request, so a late one must never
meet the next question: a unit that missed a request rests before it is asked again. All silent
units share one try in each period, so that those who answer keep their pace.
Source: MODBUS application protocol V1.1b3 and MODBUS over serial line V1.02, modbus.org.

Options, with one unit and one item as an example (docs/protocols/modbus_rtu.md has all fields):

    {"poll_ms": 1000, "timeout_ms": 300, "units": [{"address": 17, "blocks": [
        {"function": 4, "start": 0, "count": 3, "items": [
            {"offset": 0, "type": "u16", "parameter": 96, "decimals": 1, "invalid": [32767]}]}]}]}
"""

import struct

from micropython import const

from bridge.core.checks import crc16_modbus
from bridge.core.errors import ConfigError
from bridge.core.events import NO_VALUE, OVER_RANGE, UNDER_RANGE, VALID, Damage, Observation
from bridge.core.options import choice, items, number, only
from bridge.core.rxbuf import RxBuffer

# All that this master can ever send: read coils, discrete inputs, holding and input registers.
READS = (1, 2, 3, 4)

PORTS = ("9600 8E1", "9600 8N1", "9600 8N2", "19200 8E1", "19200 8N1")

_REQUEST_SIZE = const(8)
_REFUSAL = const(0x80)
_REFUSAL_SIZE = const(5)
_DATA_AT = const(3)
_CRC_SIZE = const(2)
_RX_SIZE = const(320)  # the longest answer is 255 bytes, after an echo and some junk

_UNITS_MAX = const(16)
_BLOCKS_MAX = const(8)
_ITEMS_MAX = const(64)
_INVALID_MAX = const(8)
_REGISTERS_MAX = const(125)
_BITS_MAX = const(2000)

_GAP_MS = const(25)  # slow units need more than 3.5 characters between frames
_ANSWER_MS_MAX = const(3000)  # 255 bytes at 1200 bit/s; noise without end must not hold a turn
_REST_MS = const(1000)  # of a unit without an answer, counted from its request

_VALUE_MAX = const(0x7FFFFFFF)
_BIT = const(0)
_I16 = const(2)
_U32 = const(3)
_I32 = const(4)
_F32 = const(5)
_TYPES = ("bit", "u16", "i16", "u32", "i32", "f32")  # numbered as above
_ORDERS = {"ABCD": (0, 1, 2, 3), "CDAB": (2, 3, 0, 1), "BADC": (1, 0, 3, 2), "DCBA": (3, 2, 1, 0)}


class _Block:
    """A stretch of one unit that is read at once: its request and what its answer holds."""

    def __init__(self, unit, group, options, where):
        only(options, ("function", "start", "count", "items"), where)
        self.unit = unit
        self.group = group
        self.due_ms = 0
        self.function = number(options, "function", READS[0], READS[-1], where)
        self.bits = self.function <= 2
        start = number(options, "start", 0, 0xFFFF, where)
        self.count = number(options, "count", 1, _BITS_MAX if self.bits else _REGISTERS_MAX, where)
        if start + self.count > 0x10000:
            raise ConfigError("%s: ends at %d, want at most 65536" % (where, start + self.count))
        self.data_size = (self.count + 7) // 8 if self.bits else 2 * self.count
        request = bytearray(_REQUEST_SIZE)
        struct.pack_into(">BBHH", request, 0, unit.address, self.function, start, self.count)
        struct.pack_into("<H", request, 6, crc16_modbus(request, 0, 6))
        self.request = bytes(request)
        entries = items(options, "items", _ITEMS_MAX, where)
        self.items = [
            self._item(item, "%s item %d" % (where, at)) for at, item in enumerate(entries)
        ]
        if len({item[3] for item in self.items}) < len(entries):
            raise ConfigError("%s: one parameter twice" % where)

    def _item(self, options, where):
        """Return (type, offset in bits or bytes, byte order, parameter, decimals, scale, invalid).

        The markers of `invalid` become the raw bits that the wire carries, two halves each.
        """
        only(
            options,
            ("offset", "type", "order", "parameter", "decimals", "scale", "invalid"),
            where,
        )
        kind = choice(options, "type", _TYPES, "bit" if self.bits else None, where)
        if self.bits != (kind == _BIT):
            raise ConfigError("%s: type %r in function %d" % (where, _TYPES[kind], self.function))
        wide = kind >= _U32
        offset = number(options, "offset", 0, self.count - (2 if wide else 1), where)
        orders = tuple(_ORDERS)
        order = _ORDERS[orders[choice(options, "order", orders, "ABCD", where)]]
        parameter = number(options, "parameter", 1, 0xFFFF, where)
        decimals = number(options, "decimals", 0, 6, where, 0)
        scale = number(options, "scale", 1, 1000000, where, 1)
        markers = items(options, "invalid", _INVALID_MAX, where) if "invalid" in options else ()
        invalid = []
        for marker in markers:
            raw = _raw_marker(marker, kind, where)
            invalid += (raw >> 16, raw & 0xFFFF)
        if not self.bits:
            offset *= 2
        return kind, offset, order, parameter, decimals, scale, invalid


class _Unit:
    def __init__(self, address):
        self.address = address
        self.silent = False  # since its last request
        self.rest_until_ms = 0


class ModbusDecoder:
    """The master of one bus: one request open at a time, blocks in turn."""

    name = "modbus_rtu"
    rx_size = _RX_SIZE

    def __init__(self, options):
        where = self.name
        only(options, ("poll_ms", "timeout_ms", "units"), where)
        self._poll_ms = number(options, "poll_ms", 100, 600000, where, 1000)
        self._timeout_ms = number(options, "timeout_ms", 50, 2000, where, 300)
        self._rest_ms = max(self._poll_ms, _REST_MS, 2 * self._timeout_ms)
        self._blocks = []
        addresses = set()
        for entry in items(options, "units", _UNITS_MAX, where):
            only(entry, ("address", "blocks"), where)
            unit = _Unit(number(entry, "address", 1, 247, where))
            if unit.address in addresses:
                raise ConfigError("%s: unit %d twice" % (where, unit.address))
            addresses.add(unit.address)
            place = "%s: unit %d" % (where, unit.address)
            for group, block in enumerate(items(entry, "blocks", _BLOCKS_MAX, place)):
                self._blocks.append(_Block(unit, group, block, "%s block %d" % (place, group)))
        self.rx = RxBuffer(self.rx_size)
        self._observation = Observation(_ITEMS_MAX)
        self._damage = Damage()
        self._turn = 0  # the block whose turn it is
        self._open = None  # the block that was asked for
        self._echoed = True  # the open request has come back, or cannot any more
        self._asked_ms = 0
        self._heard_ms = 0
        self._heard_count = 0  # bytes there at heard_ms
        self._quiet = False  # an exchange is over: the gap begins with the next turn
        self._quiet_ms = 0
        self._missed = 0  # timeouts not yet told
        self._retry_ms = 0  # not before this may a silent unit be tried

    # --- asking ---

    def next_request(self, now_ms):
        """Return the bytes to send now, or None."""
        if self._open is not None:
            if not self._is_over(now_ms):
                return None
            self._miss()
        if self._quiet:
            self._quiet = False
            self._quiet_ms = now_ms + _GAP_MS
        if now_ms < self._quiet_ms or self._missed or self.rx.count:
            return None  # what is still there belongs to no request and goes as noise first
        block = self._choose(now_ms)
        return None if block is None else self._ask(block, now_ms)

    def _choose(self, now_ms):
        """Return the block to ask for, None when none is due.

        Units that answer have their turn. Of the silent ones the longest rested has the one try of
        a period, when nobody else is due or when the bus has been too busy for a whole period.
        """
        blocks = self._blocks
        chosen = silent = None
        for step in range(len(blocks)):
            index = (self._turn + step) % len(blocks)
            block = blocks[index]
            unit = block.unit
            if block.due_ms > now_ms or unit.rest_until_ms > now_ms:
                continue
            if not unit.silent:
                if chosen is None:
                    chosen = block
                    turn = index + 1
            elif silent is None or unit.rest_until_ms < silent.unit.rest_until_ms:
                silent = block
        waited_ms = now_ms - self._retry_ms
        if silent is not None and waited_ms >= (0 if chosen is None else self._rest_ms):
            self._retry_ms = now_ms + self._rest_ms
            return silent
        if chosen is not None:
            self._turn = turn
        return chosen

    def _ask(self, block, now_ms):
        # From the time it was due, so that readings keep their pace.
        late_ms = now_ms - block.due_ms
        block.due_ms = now_ms + self._poll_ms - (late_ms if late_ms < self._poll_ms else 0)
        self._open = block
        self._echoed = False
        self._asked_ms = self._heard_ms = now_ms
        self._heard_count = 0
        return block.request

    def _is_over(self, now_ms):
        """Say whether no byte has come for too long, or bytes without an answer."""
        if self.rx.count != self._heard_count:
            self._heard_count = self.rx.count
            self._heard_ms = now_ms
        return (
            now_ms - self._heard_ms >= self._timeout_ms
            or now_ms - self._asked_ms >= _ANSWER_MS_MAX
        )

    def _miss(self):
        """Count a request that was not answered, and let the unit rest."""
        unit = self._open.unit
        unit.silent = True
        unit.rest_until_ms = self._asked_ms + self._rest_ms
        self._missed += 1
        self._close()

    def _close(self):
        self._open = None
        self._quiet = True

    # --- listening ---

    def next_event(self):
        """Return the next event, or None until more bytes arrive. Raises nothing."""
        if self._missed:
            self._missed -= 1
            return self._damage.of("timeout", 1)
        rx = self.rx
        block = self._open
        if block is None:
            return self._drop(rx.count, "noise") if rx.count else None
        skipped = self._find_start(block)
        if skipped:
            return self._drop(skipped, "noise")
        count = rx.count
        if not self._echoed and self._is_echo(block):
            if count < _REQUEST_SIZE:
                return None
            self._echoed = True
            rx.drop(_REQUEST_SIZE)
            return self.next_event()  # once at most: there is one echo
        data = rx.data
        if count < _DATA_AT:
            return None
        refused = data[1] & _REFUSAL
        if not refused and data[2] != block.data_size:
            return self._drop(1, "length")  # one byte only: the answer may start inside
        size = _REFUSAL_SIZE if refused else _DATA_AT + block.data_size + _CRC_SIZE
        if count < size:
            return None
        if crc16_modbus(data, 0, size - 2) != data[size - 2] | data[size - 1] << 8:
            return self._drop(1, "check")
        if not refused:
            self._read(block, data)
        rx.drop(size)
        block.unit.silent = False
        self._close()
        return self._damage.of("refused", 1) if refused else self._observation

    def _find_start(self, block):
        """Return how many bytes stand before what may be an answer or an echo."""
        data = self.rx.data
        count = self.rx.count
        for index in range(count):
            if data[index] == block.unit.address and (
                index + 1 == count or data[index + 1] & 0x7F == block.function
            ):
                return index
        return count

    def _is_echo(self, block):
        """Say whether the bytes at the front are the request, as far as they have arrived."""
        data = self.rx.data
        for index in range(min(self.rx.count, _REQUEST_SIZE)):
            if data[index] != block.request[index]:
                return False
        return True

    def _drop(self, count, kind):
        self.rx.drop(count)
        return self._damage.of(kind, count)

    # --- values ---

    def _read(self, block, data):
        """Fill the observation from the good answer at the front of `data`."""
        observation = self._observation
        observation.begin(block.unit.address, block.group)
        for kind, offset, order, parameter, decimals, scale, invalid in block.items:
            at = _DATA_AT + offset
            # In halves: 32 bits are more than the small integers of a board hold.
            high = 0
            if kind == _BIT:
                low = data[_DATA_AT + (offset >> 3)] >> (offset & 7) & 1
            elif kind <= _I16:
                low = data[at] << 8 | data[at + 1]
            else:
                high = data[at + order[0]] << 8 | data[at + order[1]]
                low = data[at + order[2]] << 8 | data[at + order[3]]
            if _is_marker(invalid, high, low) or (kind == _F32 and high >> 7 & 0xFF == 0xFF):
                observation.add(parameter, 0, decimals, NO_VALUE)
                continue
            if kind == _F32:
                value = _round_float(high, low, 10**decimals * scale)
            else:
                value = scale * _whole(kind, high, low)
            state = VALID
            if value > _VALUE_MAX:
                value, state = _VALUE_MAX, OVER_RANGE
            elif value < -_VALUE_MAX:
                value, state = -_VALUE_MAX, UNDER_RANGE
            observation.add(parameter, value, decimals, state)


def _is_marker(markers, high, low):
    for index in range(0, len(markers), 2):
        if markers[index] == high and markers[index + 1] == low:
            return True
    return False


def _whole(kind, high, low):
    """Return a raw integer with its sign."""
    if kind == _I16 and low & 0x8000:
        return low - 0x10000
    if kind == _I32 and high & 0x8000:
        high -= 0x10000
    return high * 0x10000 + low


def _round_float(high, low, factor):
    """Return a finite IEEE 754 single, as two halves, times `factor`, rounded.

    Halves go away from zero. In integers: exact, and boards whose floats have 22 bits give the
    same value. Small ones while the factor is below 2**18 and the value below 4096.
    """
    exponent = high >> 7 & 0xFF
    mantissa = (high & 0x7F) << 16 | low
    if exponent:
        mantissa |= 0x800000
    else:
        exponent = 1
    shift = 150 - exponent
    # The product in two parts, of which the lower has 12 bits.
    lower = (mantissa & 0xFFF) * factor
    upper = (mantissa >> 12) * factor + (lower >> 12)
    lower &= 0xFFF
    if shift > 64:
        value = 0  # 24 bits of mantissa and 40 of factor: far below a half
    elif shift > 12:
        value = (upper + (1 << shift - 13)) >> shift - 12
    elif upper or lower:
        value = upper << 12 | lower
        if shift > 0:
            value = (value + (1 << shift - 1)) >> shift
        else:
            value = value << -shift if shift > -31 else 1 << 31
    else:
        value = 0
    return -value if high & 0x8000 else value


# --- options ---


def _raw_marker(marker, kind, where):
    """Return the bits on the wire of a value that means "no value"."""
    whole = isinstance(marker, int) and not isinstance(marker, bool)
    if kind == _F32 and (whole or isinstance(marker, float)) and -3e38 < marker < 3e38:
        return struct.unpack(">I", struct.pack(">f", marker))[0]
    size = 32 if kind >= _U32 else 16
    if kind == _F32 or not whole or not -(1 << size - 1) <= marker < 1 << size:
        raise ConfigError("%s: invalid has %r, want numbers of %d bits" % (where, marker, size))
    return marker & ((1 << size) - 1)
