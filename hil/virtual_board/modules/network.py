"""`network` of a board with one interface; the rig says whether its cable is in."""

import vboard

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_GOT_IP = 1010


class LAN:
    """network.LAN: up while the rig's link switch does not say "down"."""

    def __init__(self, id=0, **options):
        self._active = False

    def active(self, on=None):
        if on is None:
            return self._active
        self._active = bool(on)

    def isconnected(self):
        return self._active and vboard.read_switch("link") != "down"

    def status(self):
        return STAT_GOT_IP if self.isconnected() else STAT_IDLE

    def ifconfig(self):
        address = "127.0.0.1" if self.isconnected() else "0.0.0.0"
        return address, "255.0.0.0", "0.0.0.0", "0.0.0.0"


class WLAN(LAN):
    """network.WLAN with an access point that always lets us in."""

    IF_STA = STA_IF
    IF_AP = AP_IF

    def connect(self, ssid=None, key=None, **options):
        self._active = True

    def disconnect(self):
        self._active = False
