"""An SX1276 as its bus and its antenna see it: LoRa registers, modes, FIFO and interrupt flags.

Registers, modes and flags are those of Semtech's data sheet DS_SX1276-7-8-9, chapter 4. The bytes
between two edges of chip-select are one access: an address, its top bit set for writing, then
data; the address goes on by itself, but for the FIFO. It runs on CPython and on MicroPython.

What is on the air between the chips is the rig's (hil/air.py). This chip tells its antenna when it
transmits, hears from it when a frame begins and ends, and receives only what it listened to from
the first symbol to the last, in its own settings.

Not modelled: FSK, implicit headers, hopping, channel activity detection, DIO pins, IQ inversion.
"""

_FIFO = 0x00
_OP_MODE = 0x01
_FRF = 0x06
_PA_CONFIG = 0x09
_FIFO_POINTER = 0x0D
_FIFO_TX_BASE = 0x0E
_FIFO_RX_BASE = 0x0F
_FIFO_RX_CURRENT = 0x10
_IRQ_FLAGS = 0x12
_RX_BYTES = 0x13
_PACKET_SNR = 0x19
_PACKET_RSSI = 0x1A
_CONFIG_1 = 0x1D
_CONFIG_2 = 0x1E
_PREAMBLE = 0x20
_PAYLOAD_LENGTH = 0x22
_CONFIG_3 = 0x26
_SYNC_WORD = 0x39
_VERSION = 0x42
_PA_DAC = 0x4D

SLEEP, STANDBY, FS_TX, TX, FS_RX, RX, RX_SINGLE, CAD = range(8)
_LORA = 0x80

TX_DONE = 0x08
VALID_HEADER = 0x10
CRC_ERROR = 0x20
RX_DONE = 0x40

_BANDWIDTHS_HZ = (7800, 10400, 15600, 20800, 31250, 41700, 62500, 125000, 250000, 500000)
_RESET = {
    _OP_MODE: 0x09, _FRF: 0x6C, _FRF + 1: 0x80, _PA_CONFIG: 0x4F, _FIFO_TX_BASE: 0x80,
    _CONFIG_1: 0x72, _CONFIG_2: 0x70, _PREAMBLE + 1: 0x08, _PAYLOAD_LENGTH: 0x01,
    _SYNC_WORD: 0x12, _VERSION: 0x12, _PA_DAC: 0x84, 0x31: 0xC3, 0x37: 0x0A,
}  # fmt: skip
_READ_ONLY = (_FIFO_RX_CURRENT, _RX_BYTES, _PACKET_SNR, _PACKET_RSSI, _VERSION)
_CAPTURE_DB = 6  # a frame so much stronger takes a receiver away from another


class Sx1276:
    """The chip: `select`, `write` and `readinto` are its bus, `reset` its reset line.

    antenna  has send(number, settings, payload, airtime_us, dbm), and poll() -> iterable of
             ("begin", number, settings, dbm) and ("end", number, payload, damaged, dbm, snr)
    now_us   returns a count of microseconds that only grows

    ignored  accesses that the data sheet forbids, such as the FIFO in sleep mode
    """

    def __init__(self, antenna, now_us):
        self.ignored = 0
        self._antenna = antenna
        self._now_us = now_us
        self._number = 0
        self._selected = False
        self._held = False
        self._restart()

    def _restart(self):
        self._registers = bytearray(0x71)
        for address, value in _RESET.items():
            self._registers[address] = value
        self._fifo = bytearray(256)
        self._address = -1
        self._writing = False
        self._sent_at = None
        self._rx_at = 0  # in the FIFO, of the next frame
        self._locked = None  # (number, dbm) of the frame that is being received

    # --- the wires ---

    def reset(self, level):
        """The reset line: low holds the chip, high starts it anew."""
        if not level:
            self._held = True
        elif self._held:
            self._held = False
            self._restart()

    def select(self, level):
        """The chip-select line: 0 begins an access, 1 ends it."""
        self._selected = not level and not self._held
        self._address = -1
        if self._selected:
            self.poll()

    def write(self, data):
        if not self._selected:
            return
        for byte in data:
            if self._address < 0:
                self._writing = bool(byte & 0x80)
                self._address = byte & 0x7F
            elif self._writing:
                self._put(self._address, byte)
                self._advance()

    def readinto(self, buffer, write=0x00):
        for index in range(len(buffer)):
            if not self._selected or self._address < 0 or self._writing:
                buffer[index] = 0x00
                continue
            buffer[index] = self._get(self._address)
            self._advance()

    def _advance(self):
        if self._address != _FIFO:
            self._address = (self._address + 1) & 0x7F

    # --- registers ---

    def _get(self, address):
        if address == _FIFO:
            return self._access_fifo(None)
        return self._registers[address] if address < len(self._registers) else 0

    def _put(self, address, value):
        registers = self._registers
        if address == _FIFO:
            self._access_fifo(value)
        elif address == _OP_MODE:
            self._change_mode(value)
        elif address == _IRQ_FLAGS:
            registers[_IRQ_FLAGS] &= ~value & 0xFF  # a one clears
        elif address in _READ_ONLY or address >= len(registers):
            self.ignored += 1
        else:
            registers[address] = value
            if address in (_FRF, _FRF + 1, _FRF + 2, _CONFIG_1, _CONFIG_2, _SYNC_WORD):
                self._locked = None

    def _access_fifo(self, value):
        registers = self._registers
        if self.mode == SLEEP:
            self.ignored += 1
            return 0
        pointer = registers[_FIFO_POINTER]
        registers[_FIFO_POINTER] = (pointer + 1) & 0xFF
        if value is not None:
            self._fifo[pointer] = value
        return self._fifo[pointer]

    @property
    def mode(self):
        return self._registers[_OP_MODE] & 7

    def _change_mode(self, value):
        registers = self._registers
        before = registers[_OP_MODE]
        if self.mode != SLEEP and (value ^ before) & _LORA:
            self.ignored += 1  # LoRa or FSK is chosen in sleep mode alone
            value = value & ~_LORA | before & _LORA
        registers[_OP_MODE] = value
        if value & 7 == before & 7:
            return
        self._locked = self._sent_at = None
        if value & 7 == SLEEP:
            self._fifo = bytearray(256)  # its content is lost
        elif value & 7 == TX:
            self._transmit()
        elif value & 7 == RX:
            self._rx_at = registers[_FIFO_RX_BASE]

    # --- the air ---

    def settings(self):
        """Return what two chips must share to understand each other, as one string."""
        registers = self._registers
        frf = registers[_FRF] << 16 | registers[_FRF + 1] << 8 | registers[_FRF + 2]
        bandwidth = registers[_CONFIG_1] >> 4
        rate = registers[_CONFIG_1] >> 1 & 7
        parts = (frf, bandwidth, rate, registers[_CONFIG_2] >> 4, registers[_SYNC_WORD])
        return "/".join([str(part) for part in parts])

    def airtime_us(self, size):
        """Return the time on air of a frame, from the registers (data sheet, 4.1.1.7)."""
        registers = self._registers
        sf = registers[_CONFIG_2] >> 4
        rate = (registers[_CONFIG_1] >> 1 & 7) + 4
        crc = registers[_CONFIG_2] >> 2 & 1
        slow = registers[_CONFIG_3] >> 3 & 1
        preamble = registers[_PREAMBLE] << 8 | registers[_PREAMBLE + 1]
        symbol_us = 1000000 * (1 << sf) / _BANDWIDTHS_HZ[registers[_CONFIG_1] >> 4]
        bits = 8 * size - 4 * sf + 28 + 16 * crc
        groups = -(-bits // (4 * (sf - 2 * slow)))
        symbols = preamble + 4.25 + 8 + max(groups * rate, 0)
        return int(symbols * symbol_us)

    def _dbm(self):
        power = self._registers[_PA_CONFIG]
        if not power & 0x80:
            return (power & 15) - 1
        return (power & 15) + (5 if self._registers[_PA_DAC] & 7 == 7 else 2)

    def _transmit(self):
        registers = self._registers
        size = registers[_PAYLOAD_LENGTH]
        base = registers[_FIFO_TX_BASE]
        payload = bytes([self._fifo[(base + index) & 0xFF] for index in range(size)])
        airtime_us = self.airtime_us(size)
        self._number += 1
        self._antenna.send(self._number, self.settings(), payload, airtime_us, self._dbm())
        self._sent_at = self._now_us() + airtime_us

    def poll(self):
        """Catch up with the time and the air."""
        registers = self._registers
        if self._sent_at is not None and self._now_us() >= self._sent_at:
            self._sent_at = None
            registers[_IRQ_FLAGS] |= TX_DONE
            registers[_OP_MODE] = registers[_OP_MODE] & ~7 | STANDBY
        for event in self._antenna.poll():
            if event[0] == "begin":
                self._hear(*event[1:])
            elif self._locked is not None and event[1] == self._locked[0]:
                self._locked = None
                self._receive(*event[2:])

    def _hear(self, number, settings, dbm):
        if self.mode != RX or settings != self.settings():
            return
        if self._locked is None or dbm >= self._locked[1] + _CAPTURE_DB:
            self._locked = (number, dbm)

    def _receive(self, payload, damaged, dbm, snr):
        registers = self._registers
        # While it goes on listening, frames follow each other in the FIFO.
        start = self._rx_at
        self._rx_at = (start + len(payload)) & 0xFF
        for index in range(len(payload)):
            self._fifo[(start + index) & 0xFF] = payload[index]
        registers[_FIFO_RX_CURRENT] = start
        registers[_RX_BYTES] = len(payload)
        registers[_PACKET_RSSI] = min(max(int(dbm) + 157, 0), 255)
        registers[_PACKET_SNR] = int(4 * snr) & 0xFF
        registers[_IRQ_FLAGS] |= RX_DONE | VALID_HEADER | (CRC_ERROR if damaged else 0)
