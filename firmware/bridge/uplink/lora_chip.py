"""An SX1276 (RFM9x) on its bus, worked by Adafruit's driver (adafruit_rfm) as it is.

What the driver needs of CircuitPython is in firmware/radio_shim. It is imported when it is first
needed, and only its asyncio methods are used: the others start an event loop of their own.
"""

from micropython import const

_HZ = const(1000000)  # of the bus: long wires are no trouble to it
_VERSION_AT = const(0x42)
_VERSION = const(0x12)
_POLL_S = 0.01  # of the driver; 1 ms would leave no time to others


class Chip:
    """The transceiver on its bus.

    wiring  the board's RADIO: spi, sck, mosi, miso, cs, reset
    """

    def __init__(self, wiring, plan):
        self._wiring = wiring
        self._plan = plan
        self._driver = None

    def driver(self):
        """Return the driver of a chip that is set up; raises RuntimeError where none answers."""
        if self._driver is None:
            self._driver = self._open()
        return self._driver

    def is_there(self):
        """Ask the chip for its version, without the driver: for a word at boot."""
        from adafruit_bus_device.spi_device import SPIDevice

        bus, select, reset = self._wires()
        device = SPIDevice(bus, select, baudrate=_HZ)
        reset.switch_to_output(value=True)
        data = bytearray((_VERSION_AT,))
        with device as bus:
            bus.write(data)
            bus.readinto(data)
        return data[0] == _VERSION

    def forget(self):
        """Have the chip reset and set up anew before it is used again."""
        self._driver = None

    def sleep(self):
        if self._driver is not None:
            self._driver.sleep()

    def _wires(self):
        from busio import SPI as Bus
        from digitalio import DigitalInOut
        from machine import SPI, Pin

        wiring = self._wiring
        pins = {name: Pin(wiring[name]) for name in ("sck", "mosi", "miso")}
        bus = Bus(SPI(wiring["spi"], baudrate=_HZ, **pins))
        return bus, DigitalInOut(wiring["cs"]), DigitalInOut(wiring["reset"])

    def _open(self):
        from adafruit_rfm.rfm9x import RFM9x

        plan = self._plan
        driver = RFM9x(*self._wires(), plan.khz / 1000, baudrate=_HZ)
        plan.tune(driver)
        driver.timeout_poll = _POLL_S
        return driver
