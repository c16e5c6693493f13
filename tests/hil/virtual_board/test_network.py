"""The ports' default routes, which are why sockets are bound: what each would have chosen."""

import asyncio
from pathlib import Path
from textwrap import dedent

import pytest

from hil.board import VirtualBoard

ESP32 = """
    import socket
    from network import LAN, PPP, WLAN, PHY_W5500, default
    from machine import UART

    lan, chip, wifi = LAN(), LAN(phy_type=PHY_W5500), WLAN(WLAN.IF_STA)
    ppp = PPP(UART(1, 115200))

    def wait(nic):
        while not nic.isconnected():
            pass

    def chosen():
        nic = default()
        return nic and nic.config("ifname")

    print("none", chosen(), ppp.config("ifname"), lan.kind, chip.kind)
    wifi.active(True)
    lan.active(True)
    wait(lan)
    print("cable", chosen(), lan.ifconfig()[0])
    wifi.connect("ward", "key")
    wait(wifi)
    print("wifi", chosen())
    ppp.connect()
    print("ppp", chosen(), ppp.isconnected(), ppp.status(), ppp.ifconfig()[0])
    ppp.disconnect()
    while ppp.status() >= 3:
        pass
    print("closed", chosen())
    print("done", hasattr(socket, "SO_BINDTODEVICE"))
"""
RP2 = """
    import socket
    from network import WIZNET5K, WLAN, default

    chip, wifi = WIZNET5K(None, None, None), WLAN(WLAN.IF_STA)

    def wait(nic):
        while not nic.isconnected():
            pass

    chip.active(True)
    wait(chip)
    print("chip", default() is chip)
    wifi.active(True)
    print("last", default())
    wifi.connect("ward", "key")
    wait(wifi)
    print("wifi", default() is wifi)
    wifi.active(False)
    print("back", default() is chip)
    print("done", hasattr(socket, "SO_BINDTODEVICE"))
"""
SAID = {
    "VIRTUAL_ESP32S3": [
        "none None None lan w5500",
        "cable en1 10.1.0.2",
        "wifi st1",
        "ppp None False 3 0.0.0.0",
        "closed st1",
        "done True",
    ],
    "VIRTUAL_RP2040": ["chip True", "last None", "wifi True", "back True", "done False"],
}


@pytest.mark.parametrize("kind", SAID)
def test_each_port_routes_in_its_own_way(kind: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(dedent(ESP32 if "ESP32" in kind else RP2))

    async def run() -> list[str]:
        board = VirtualBoard(tmp_path / "board", kind, (1,), firmware=tmp_path)
        try:
            await board.start()
            await board.wait_for("done")
            return list(board.output)
        finally:
            await board.close()

    assert asyncio.run(run()) == SAID[kind]
