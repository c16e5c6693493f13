"""Wired Ethernet with a PHY of the chip's own (`network.LAN` of the ESP32 port)."""

import machine
import network

from bridge.uplink.nic import Nic

_PINS = ("mdc", "mdio", "reset", "power", "ref_clk")


class Lan(Nic):
    """A cable.

    row  of the wiring: "phy" and "phy_addr", and the pins mdc, mdio, reset, power, ref_clk by
         number, as network.LAN calls them; all may be missing where the board has defaults
    """

    def __init__(self, row, settings):
        options = {}
        for name in _PINS:
            if name in row:
                options[name] = machine.Pin(row[name])
        if "phy" in row:
            options["phy_type"] = getattr(network, row["phy"])
            options["phy_addr"] = row.get("phy_addr", 0)
        super().__init__(row, network.LAN(**options))

    def look(self):
        return self._wired_fault(self._nic.status() == network.ETH_CONNECTED)
