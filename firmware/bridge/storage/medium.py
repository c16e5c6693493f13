"""From the board's wiring to block devices: where the log and the keys are.

A place is a dict of plain values with the name of its medium; docs/decisions/0006-media.md says
what each can do and which to choose.
"""

from bridge.core.errors import MediumError

_ENCRYPTED = 5  # in the tuple of esp32.Partition.info()
_BAUD = 20000000


def open_partition(place):
    """Return the ESP32 partition named by place["label"] (MicroPython's `esp32.Partition`)."""
    import esp32

    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=place["label"])
    if not found:
        raise MediumError("no partition %r: provision the board" % place["label"])
    if found[0].info()[_ENCRYPTED]:
        raise MediumError(
            "partition %r is encrypted and takes no page twice: use one without that flag"
            % place["label"]
        )
    return found[0]


def open_rp2(place):
    """Return `size` bytes at `start` of the RP2's own storage area."""
    import rp2

    from bridge.storage.page_flash import PageFlash

    try:
        flash = rp2.Flash(start=place["start"], len=place["size"])
    except ValueError:
        raise MediumError(
            "rp2 flash: %d bytes at %d are not in the storage area: build the board's image for it"
            % (place["size"], place["start"])
        )
    return PageFlash(flash, place["size"])


def _spi_nor(place):
    import time

    import machine

    from bridge.storage.spi_nor import SpiNor

    pin = machine.Pin
    select = pin(place["cs"], pin.OUT, value=1)
    spi = machine.SPI(
        place["spi"],
        baudrate=place.get("baud", _BAUD),
        sck=pin(place["sck"]),
        mosi=pin(place["mosi"]),
        miso=pin(place["miso"]),
    )
    return SpiNor(spi, select, time, place.get("start", 0), place.get("size"))


def open_spi_nor(place):
    """Return a part of an external SPI NOR chip; pins and bus are named by the place."""
    chip = _spi_nor(place)
    chip.check_protection()
    return chip


def unprotect(place):
    """Clear the block protection of an external SPI NOR chip, from the REPL, once."""
    _spi_nor(place).unprotect()


def open_file(place):
    """Return the file place["path"], which exists; `start` and `size` may name a part of it."""
    from bridge.storage.file_medium import FileMedium

    return FileMedium(place["path"], place.get("start", 0), place.get("size"))


MEDIA = {
    "partition": open_partition,
    "spi_nor": open_spi_nor,
    "rp2": open_rp2,
    "file": open_file,
}


def open_medium(place):
    """Return the block device that `place` describes; raises MediumError."""
    if place["medium"] not in MEDIA:
        raise MediumError(
            "medium %r, want one of %s" % (place["medium"], ", ".join(sorted(MEDIA)))
        )
    return MEDIA[place["medium"]](place)
