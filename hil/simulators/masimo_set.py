"""Masimo SET oximeter, ASCII 1: one line a second at 9600 8N1, no request, no checksum.

A Rad-8 by default; a Radical-7 adds haemoglobin and its own words to the line. What the 3D alarm
indexes mean is the vendor's secret: DESAT here is the points below the limit, PI delta stays 0.

Source: Masimo Rad-8 and Rad-87 operator's manuals, serial data; public field captures.
"""

import asyncio
import random
import time
from collections.abc import Callable

from hil.simulators.device import Pace, Plug, now_s
from hil.vitals import Vitals

BAUD = 9600
CHARACTER_BITS = 10
OPTIONS: dict[str, object] = {}
GROUP = 0
_PERIOD_S = 1.0
_SEARCH_LINES = 3  # that an oximeter takes to find the pulse again

# EXC bits
_OFF_PATIENT, _PULSE_SEARCH, _LOW_PERFUSION, _SET_RUNNING = 0x20, 0x08, 0x04, 0x800
# ALARM bits
_SPO2_LOW, _BPM_HIGH, _BPM_LOW, _TRIGGERED = 0x02, 0x04, 0x08, 0x10

_SPO2_LIMIT, _BPM_LIMIT, _BPM_LOW_LIMIT = 90, 120, 50
_LOW_PI = 0.5
_PI_MIN, _PI_MAX = 0.02, 20.0

Values = dict[str, str | None]


def never_off(t_s: float) -> bool:
    """Say that the sensor stays on."""
    return False


def loose_sensor(
    seed: int, every_s: float = 120.0, chance: float = 0.3
) -> Callable[[float], bool]:
    """Return a function of seconds: does the sensor hang loose? 4 to 15 s in some periods."""

    def is_off(t_s: float) -> bool:
        period, rest_s = divmod(t_s, every_s)
        draw = random.Random(f"{seed} {period:.0f}")
        length_s = draw.uniform(4, 15) if draw.random() < chance else 0.0
        return every_s - length_s <= rest_s

    return is_off


class MasimoOximeter:
    """One oximeter; its sensor is off the patient while there is no SpO2 to measure.

    is_off     also off at these seconds since the start, as `loose_sensor` says
    radical_7  a Radical-7's line, not a Rad-8's
    """

    def __init__(
        self, plug: Plug, is_off: Callable[[float], bool] = never_off, radical_7: bool = False
    ) -> None:
        self._plug = plug
        self._is_off = is_off
        self._radical_7 = radical_7
        self._searching = 0

    async def run(self) -> None:
        """Send a line a second, for ever."""
        pace = Pace(_PERIOD_S)
        start_s = now_s()
        while True:
            message, values = self.line_at(now_s() - start_s, time.time())
            await self._plug.say(message, GROUP, values)
            await asyncio.sleep(pace.next_s())

    def line_at(self, t_s: float, utc_s: float) -> tuple[bytes, Values]:
        """Return the next line and what it says; after an absence the pulse is searched for."""
        vitals = self._plug.measure()
        if self._is_off(t_s):
            vitals = {**vitals, "SpO2": None}
        if vitals["SpO2"] is None or vitals["PR"] is None:
            self._searching = _SEARCH_LINES
        elif self._searching:
            self._searching -= 1
            vitals = {**vitals, "SpO2": None}
            return compose(vitals, utc_s, self._radical_7, _PULSE_SEARCH)
        return compose(vitals, utc_s, self._radical_7)


def compose(
    vitals: Vitals, utc_s: float, radical_7: bool = False, why_not: int = _OFF_PATIENT
) -> tuple[bytes, Values]:
    """Return a line and what it says: {label: decimal string, None for no value}.

    why_not  the EXC bit of a line without values
    """
    spo2, bpm, pi = vitals["SpO2"], vitals["PR"], vitals["PI"]
    exc, alarm = _SET_RUNNING, 0
    if spo2 is None or bpm is None:
        texts = {"SpO2": "---%", "PR": "---%", "PI": "--.--%", "DESAT": "--", "PI delta": "+--"}
        exc |= why_not
    else:
        spo2, bpm = min(100, max(0, round(spo2))), min(240, max(0, round(bpm)))
        alarm |= _SPO2_LOW if spo2 < _SPO2_LIMIT else 0
        alarm |= _BPM_HIGH if bpm > _BPM_LIMIT else 0
        alarm |= _BPM_LOW if bpm < _BPM_LOW_LIMIT else 0
        alarm |= _TRIGGERED if alarm else 0
        texts = {"SpO2": f"{spo2:03d}%", "PR": f"{bpm:03d}", "PI": "--.--%"}
        if pi is not None:
            pi = min(_PI_MAX, max(_PI_MIN, pi))
            texts["PI"] = f"{pi:05.2f}%"
            exc |= _LOW_PERFUSION if pi < _LOW_PI else 0
        texts["DESAT"] = f"{min(99, max(0, _SPO2_LIMIT - spo2)):02d}"
        texts["PI delta"] = "+00"
    percent = "" if radical_7 else "%"  # a Radical-7 may leave it out after PI
    texts["PI"] = texts["PI"].rstrip("%") + percent
    words = [f"SPO2={texts['SpO2']}", f"BPM={texts['PR']}", f"PI={texts['PI']}"]
    if radical_7:
        texts |= _haemoglobin(known=spo2 is not None and bpm is not None)
        words += [f"SPCO={texts['SpCO']}", f"SPMET={texts['SpMet']}", f"SPHB={texts['SpHb']}"]
        words += [f"SPOC={texts['SpOC']}", "RESVD=---"]
    words += [f"DESAT={texts['DESAT']}", f"PIDELTA={texts['PI delta']}"]
    if radical_7:
        words.append(f"PVI={texts['PVI']}")
    words += [f"ALARM={alarm:04X}", f"EXC={exc:06X}"]
    if radical_7:
        words.append("EXC1=00000000")
    stamp = time.strftime("%m/%d/%y %H:%M:%S", time.gmtime(utc_s))
    line = f"{stamp} SN=0000123456 {' '.join(words)}\r\n"
    return line.encode(), {label: _said(text) for label, text in texts.items()}


def _haemoglobin(known: bool) -> dict[str, str]:
    if not known:
        return {"SpCO": "--.-%", "SpMet": "--.-%", "SpHb": "--.-", "SpOC": "--", "PVI": "---"}
    return {"SpCO": "03.0%", "SpMet": "01.1%", "SpHb": "12.4", "SpOC": "16", "PVI": "018"}


def _said(text: str) -> str | None:
    """Return the number of a field as text without its shape; None where it has dashes."""
    if "--" in text:
        return None
    number = text.rstrip("%")
    whole, point, fraction = number.partition(".")
    return f"{int(whole)}{point}{fraction}"
