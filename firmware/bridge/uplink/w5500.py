"""Wired Ethernet by a W5500 chip on SPI: `network.LAN` on ESP32, `network.WIZNET5K` on RP2."""

import machine
import network
from micropython import const

from bridge.uplink.nic import Nic

_BAUD = const(20000000)


class W5500(Nic):
    """A cable.

    row  of the wiring: "spi" and its pins sck, mosi, miso; cs, int, reset
    """

    def __init__(self, row, settings):
        pins = {
            name: machine.Pin(row[name])
            for name in ("sck", "mosi", "miso", "cs", "int", "reset")
            if name in row
        }
        bus = machine.SPI(
            row["spi"], baudrate=_BAUD, sck=pins["sck"], mosi=pins["mosi"], miso=pins["miso"]
        )
        if hasattr(network, "WIZNET5K"):
            interrupt = (pins["int"],) if "int" in pins else ()
            nic = network.WIZNET5K(bus, pins["cs"], pins["reset"], *interrupt)
        else:
            options = {"reset": pins["reset"]} if "reset" in pins else {}
            nic = network.LAN(
                phy_type=network.PHY_W5500, phy_addr=0, spi=bus, cs=pins["cs"], int=pins["int"],
                **options,
            )  # fmt: skip
        super().__init__(row, nic)

    def look(self):
        status = self._nic.status()
        if hasattr(network, "ETH_CONNECTED"):
            return self._wired_fault(status == network.ETH_CONNECTED)
        return self._wired_fault(status != 0)  # 0: the cable is out
