"""`busio` for the radio's driver: transfers of a part of a buffer over machine.SPI."""


class SPI:
    """One bus; the driver's transfers never wait in between, so it needs no lock.

    spi  a machine.SPI, mode 0
    """

    def __init__(self, spi):
        self._spi = spi

    def configure(self, baudrate, polarity, phase):
        self._spi.init(baudrate=baudrate, polarity=polarity, phase=phase)

    def write(self, buffer, start=0, end=None):
        self._spi.write(memoryview(buffer)[start : len(buffer) if end is None else end])

    def readinto(self, buffer, start=0, end=None):
        self._spi.readinto(memoryview(buffer)[start : len(buffer) if end is None else end])
