"""`network` of a board with one interface; the rig says whether its cable is in."""

import vboard

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010


class LAN:
    """network.LAN: up while the rig's link switch does not say "down"."""

    def __init__(self, id=0, **options):
        self._active = False
        self._options = {"mac": bytes.fromhex(vboard.settings["unique_id"]), "ifname": "en1"}

    def active(self, on=None):
        if on is None:
            return self._active
        self._active = bool(on)

    def connect(self):
        pass

    def isconnected(self):
        return self._active and vboard.read_switch("link") != "down"

    def status(self):
        if self.isconnected():
            return STAT_GOT_IP
        return STAT_CONNECTING if self._active else STAT_IDLE

    def ifconfig(self, fields=None):
        address = "127.0.0.1" if self.isconnected() else "0.0.0.0"
        return address, "255.0.0.0", "0.0.0.0", "0.0.0.0"

    def config(self, name=None, **options):
        """Return one option, or keep some, as the ports do."""
        if name is not None:
            return self._options[name]
        self._options.update(options)


class WLAN(LAN):
    """network.WLAN with an access point that always lets us in."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0

    def __init__(self, id=STA_IF, **options):
        super().__init__(id, **options)
        self._options["ifname"] = "st1"

    def connect(self, ssid=None, key=None, **options):
        self._active = True

    def disconnect(self):
        self._active = False
