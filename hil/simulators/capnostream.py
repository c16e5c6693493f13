"""Oridion Capnostream 20: numerics once a second and 20 samples of CO2 a second, 115200 8N1.

Says nothing until communication is enabled and real-time is started, and stops by itself when it
has not heard "link is active" for 15 s, a time that no public document names. Setup items other
than the communication interval, and commands that it does not know, are ignored and counted.

Source: a public driver, its tests, and the vendor's document as cited there.
"""

from __future__ import annotations

import asyncio
import math
import time

from hil.simulators.device import Pace, Plug, now_s
from hil.tasks import end_tasks
from hil.vitals import Vitals

BAUD = 115200
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}
GROUP = 0

MMHG, KPA, PERCENT = 1, 2, 3
_SAMPLES_A_SECOND = 20
_LINK_S = 15.0
_NOTHING = 0xFF

ENABLE, DISABLE, START, STOP, LINK_ACTIVE = 1, 2, 4, 5, 6
HOST_ID, HOST_ID_UNICODE, SETUP = 7, 8, 60
_CO2_WAVE, _NUMERICS, _DEVICE_ID = 0, 1, 4
_INTERVAL_ITEM = 4

# wave status
_END_OF_BREATH, _FILTERLINE_OFF = 0x08, 0x40
# numerics
_MASIMO = 0x80
_NO_BREATH, _ET_HIGH, _ET_LOW, _RR_HIGH, _RR_LOW = 0x01, 0x02, 0x04, 0x08, 0x10
_SPO2_LOW, _PR_HIGH, _PR_LOW, _SENSOR_OFF = 0x04, 0x08, 0x10, 0x60
_LIMITS = bytes((60, 15, 30, 5, 8, 100, 85, 140, 50))
_ET_LIMITS, _RR_LIMITS, _SPO2_LIMIT, _PR_LIMITS = (15, 60), (5, 30), 85, (50, 140)
DEVICE_ID = b"V04.10 03/14/2011 B312345678  "

_MMHG_PER = {MMHG: 1.0, KPA: 7.50062, PERCENT: 7.6}
_LABELS = {
    MMHG: ("EtCO2", "FiCO2"),
    KPA: ("EtCO2 kPa", "FiCO2 kPa"),
    PERCENT: ("EtCO2 %", "FiCO2 %"),
}

Values = dict[str, str | None]


def framed(code: int, data: bytes = b"") -> bytes:
    """Return a frame as it goes on the wire."""
    body = bytes((1 + len(data), code)) + data
    check = 0
    for byte in body:
        check ^= byte
    body += bytes((check,))
    return b"\x85" + body.replace(b"\x80", b"\x80\x00").replace(b"\x85", b"\x80\x05")


class Receiver:
    """Takes frames out of a stream."""

    def __init__(self) -> None:
        self._body: bytearray | None = None
        self._escaped = False

    def take(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return (code, data) of the good frames that end here."""
        found = []
        for byte in data:
            if byte == 0x85:
                self._body, self._escaped = bytearray(), False
            elif self._body is None:
                continue
            elif byte == 0x80 and not self._escaped:
                self._escaped = True
                continue
            else:
                self._body.append(byte + 0x80 & 0xFF if self._escaped else byte)
                self._escaped = False
                if len(self._body) == self._body[0] + 2:
                    body, self._body = self._body, None
                    if body[0] and _xor(body) == 0:
                        found.append((body[1], bytes(body[2:-1])))
        return found


def _xor(data: bytes | bytearray) -> int:
    total = 0
    for byte in data:
        total ^= byte
    return total


def numerics(
    vitals: Vitals, local_s: int, no_breath_s: int = 0, unit: int = MMHG, device: int = 0
) -> tuple[bytes, Values]:
    """Return the numerics message and what it says: {label: decimal string or None}."""
    ended, inspired, rate = vitals.get("EtCO2"), vitals.get("FiCO2"), vitals.get("RRco2")
    spo2, pulse = vitals.get("SpO2"), vitals.get("PR")
    co2_alarms = _NO_BREATH if no_breath_s >= 20 else 0
    spo2_alarms = 0
    if ended is None or rate is None:
        ended = inspired = rate = None
    else:
        co2_alarms |= _beyond(ended, _ET_LIMITS, _ET_LOW, _ET_HIGH)
        co2_alarms |= _beyond(rate, _RR_LIMITS, _RR_LOW, _RR_HIGH)
    if spo2 is None or pulse is None:
        spo2 = pulse = None
        spo2_alarms = _SENSOR_OFF
    else:
        spo2_alarms |= _SPO2_LOW if spo2 < _SPO2_LIMIT else 0
        spo2_alarms |= _beyond(pulse, _PR_LIMITS, _PR_LOW, _PR_HIGH)
    scale = _MMHG_PER[unit] / (1 if unit == MMHG else 10)
    co2_max = 150 if unit == MMHG else 199
    shown = [
        _byte(None if ended is None else ended / scale, co2_max),
        _byte(None if inspired is None else inspired / scale, co2_max),
        _byte(rate, 150),
        _byte(spo2, 100),
        _byte(pulse, 240),
    ]
    no_breath_s = min(254, no_breath_s)
    data = local_s.to_bytes(4, "big") + bytes((*shown, _MASIMO, 0, 0, 0, co2_alarms, spo2_alarms))
    data += bytes((no_breath_s,)) + _LIMITS + bytes((unit, device))
    decimals = 0 if unit == MMHG else 1
    texts = [_text(shown[0], decimals), _text(shown[1], decimals), *map(_text, shown[2:])]
    labels = (*_LABELS[unit], "RRco2", "SpO2", "PR", "No breath")
    return framed(_NUMERICS, data), dict(zip(labels, [*texts, str(no_breath_s)], strict=True))


def _beyond(value: float, limits: tuple[int, int], low: int, high: int) -> int:
    return low if value < limits[0] else high if value > limits[1] else 0


def _byte(value: float | None, highest: int) -> int:
    return _NOTHING if value is None else min(highest, max(0, round(value)))


def _text(shown: int, decimals: int = 0) -> str | None:
    return None if shown == _NOTHING else f"{shown / 10**decimals:.{decimals}f}"


def co2_sample(number: int, co2: float, status: int = 0) -> bytes:
    """Return one message of the CO2 wave."""
    steps = round(co2 * 256)
    return framed(_CO2_WAVE, bytes((number & 0xFF, steps >> 8, steps & 0xFF, status)))


class Capnograph:
    """One capnograph.

    unit     of CO2: MMHG, KPA or PERCENT
    refused  commands that it ignored
    """

    def __init__(self, plug: Plug, unit: int = MMHG) -> None:
        self.refused = 0
        self._plug = plug
        self._unit = unit
        self._enabled = False
        self._started = False
        self._link_until_s = 0.0
        self._number = 0
        self._phase = 0.0
        self._no_breath_s = 0

    async def run(self) -> None:
        """Answer, and send while it is asked to, for ever."""
        listening = asyncio.ensure_future(self._listen())
        try:
            pace = Pace(1 / _SAMPLES_A_SECOND)
            tick = 0
            while True:
                if self._started and now_s() > self._link_until_s:
                    self._started = self._enabled = False
                if self._started:
                    if tick % _SAMPLES_A_SECOND == 0:
                        await self._tell_numerics()
                    await self._tell_sample()
                tick += 1
                await asyncio.sleep(pace.next_s())
        finally:
            await end_tasks([listening])

    async def _tell_numerics(self) -> None:
        vitals = self._plug.measure()
        breathing = vitals.get("EtCO2") is not None and vitals.get("RRco2")
        self._no_breath_s = 0 if breathing else self._no_breath_s + 1
        local_s = int(time.time())
        message, values = numerics(vitals, local_s, self._no_breath_s, self._unit)
        await self._plug.say(message, GROUP, values)

    async def _tell_sample(self) -> None:
        vitals = self._plug.measure()
        ended, rate = vitals.get("EtCO2"), vitals.get("RRco2")
        co2, status = 0.0, _FILTERLINE_OFF
        if ended is not None and rate is not None:
            before = self._phase
            self._phase = (before + rate / 60 / _SAMPLES_A_SECOND) % 1
            status = _END_OF_BREATH if self._phase < before else 0
            # Inspiration is free of CO2; then a steep rise to a plateau.
            out = max(0.0, self._phase - 0.4) / 0.6
            co2 = ended * (1 - math.exp(-8 * out)) / _MMHG_PER[self._unit]
        await self._plug.line.send(co2_sample(self._number, co2, status))
        self._number = self._number + 1 & 0xFF

    # --- commands ---

    async def _listen(self) -> None:
        receiver = Receiver()
        while True:
            for code, data in receiver.take(await self._plug.line.read()):
                await self._obey(code, data)

    async def _obey(self, code: int, data: bytes) -> None:
        if code == ENABLE:
            self._enabled = True
            await self._plug.line.send(framed(_DEVICE_ID, DEVICE_ID))
        elif not self._enabled:
            self.refused += 1
        elif code == DISABLE:
            self._enabled = self._started = False
        elif code == START:
            self._started = True
            self._link_until_s = now_s() + _LINK_S
        elif code == STOP:
            self._started = False
        elif code == LINK_ACTIVE:
            self._link_until_s = now_s() + _LINK_S
        elif code == SETUP and len(data) == 2 and data[0] == _INTERVAL_ITEM:
            await self._plug.line.send(framed(SETUP, data))
        elif code not in (HOST_ID, HOST_ID_UNICODE):
            self.refused += 1
