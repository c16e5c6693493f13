"""`network` of a board with one cable, which is the world's."""

from hil.bench.on_micropython.whole import world

# Of the ESP32 port
ETH_INITIALIZED, ETH_STARTED, ETH_STOPPED = 0, 1, 2
ETH_CONNECTED, ETH_DISCONNECTED, ETH_GOT_IP = 3, 4, 5


class LAN:
    def __init__(self, id=0, **options):
        self._active = False

    def active(self, on=None):
        if on is None:
            return self._active
        self._active = bool(on)

    def status(self):
        return ETH_GOT_IP if self.isconnected() else ETH_DISCONNECTED

    def isconnected(self):
        return self._active and world.cable

    def ifconfig(self, fields=None):
        return "10.0.0.9", "255.255.255.0", "10.0.0.1", "10.0.0.1"

    def config(self, name=None, **options):
        return "en1" if name == "ifname" else None
