"""`digitalio` for the radio's driver: an output pin over machine.Pin."""

from machine import Pin


class DigitalInOut:
    """One pin; `value` reads and sets its level."""

    def __init__(self, number):
        self._number = number
        self._pin = None

    def switch_to_output(self, value=False):
        # With its level at once: a chip-select must not dip on the way.
        self._pin = Pin(self._number, Pin.OUT, value=1 if value else 0)

    @property
    def value(self):
        return bool(self._pin.value())

    @value.setter
    def value(self, level):
        self._pin.value(1 if level else 0)
