"""`adafruit_bus_device.spi_device` for the radio's driver: chip-select around each transfer."""


class SPIDevice:
    """A chip on a bus: `with` it selects the chip and gives the bus.

    spi          a busio.SPI
    chip_select  a digitalio.DigitalInOut, active low
    """

    def __init__(self, spi, chip_select, baudrate=100000, polarity=0, phase=0):
        self._spi = spi
        self._select = chip_select
        chip_select.switch_to_output(value=True)
        spi.configure(baudrate, polarity, phase)

    def __enter__(self):
        self._select.value = False
        return self._spi

    def __exit__(self, kind, error, trace):
        self._select.value = True
        return False
