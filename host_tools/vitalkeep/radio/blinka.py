"""The transceiver of a Raspberry Pi, by Adafruit's driver and Blinka; imported when asked for."""

from __future__ import annotations

from typing import Any

from bridge.core.airtime import Plan
from vitalkeep.errors import ToolError

_INSTALL = "On the Raspberry Pi that has the radio: pip install 'vitalkeep[radio]'."
_WIRING = "Wire it as docs/guides/radio.md says, and switch SPI on: sudo raspi-config."


def open_driver(plan: Plan, select: str, reset: str) -> Any:
    """Return a driver tuned to `plan`; raises ToolError where there is no such radio.

    select, reset  names of pins in Blinka's `board`, such as CE1 and D25
    """
    try:
        import board
        import busio
        import digitalio
        from adafruit_rfm.rfm9x import RFM9x
    except (ImportError, NotImplementedError, RuntimeError, OSError) as error:
        raise ToolError(f"no radio here: {error}", _INSTALL) from None
    pins = {}
    for name in ("SCK", "MOSI", "MISO", select, reset):
        pins[name] = getattr(board, name, None)
        if pins[name] is None:
            text = f"no radio here: this machine ({board.board_id}) has no pin {name}"
            raise ToolError(text, _WIRING)
    try:
        bus = busio.SPI(pins["SCK"], MOSI=pins["MOSI"], MISO=pins["MISO"])
        lines = [digitalio.DigitalInOut(pins[name]) for name in (select, reset)]
        driver = RFM9x(bus, *lines, plan.khz / 1000)
    except (NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise ToolError(f"the radio does not answer: {error}", _WIRING) from None
    plan.tune(driver)
    return driver
