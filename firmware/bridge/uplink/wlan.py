"""Wi-Fi as a station (`network.WLAN`), the radio never asleep."""

import time

import network
from micropython import const

from bridge.uplink.nic import NO_ADDRESS, STARTING, Nic, status_names

_FAULTS = (
    ("STAT_WRONG_PASSWORD", "wrong_password"),
    ("STAT_HANDSHAKE_TIMEOUT", "wrong_password"),
    ("STAT_NO_AP_FOUND", "no_access_point"),
    ("STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD", "no_access_point"),
    ("STAT_BEACON_TIMEOUT", "no_access_point"),
    ("STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD", "wrong_security"),
    ("STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY", "wrong_security"),
    ("STAT_CONNECT_FAIL", "access_point_refuses"),
)
_JOIN_MS = const(10000)  # to find the access point, be let in and get an address
_AGAIN_MS = const(5000)


class Wlan(Nic):
    """A station of one network.

    settings  "ssid" and "key" of the gateway's configuration
    """

    def __init__(self, row, settings):
        super().__init__(row, network.WLAN(network.WLAN.IF_STA))
        self._ssid = settings["ssid"]
        self._key = settings["key"]
        self._faults = status_names(self._nic, _FAULTS)
        self._idle = getattr(network, "STAT_IDLE", None)

    def look(self):
        if self.is_up():
            return ""
        status = self._nic.status()
        if status in self._faults:
            return self._faults[status]
        # Ports do not tell joining from waiting for an address, but joining does not take long.
        if status == self._idle or self._age_ms() < _JOIN_MS:
            return STARTING
        return NO_ADDRESS

    async def tend(self, beat):
        if not self._nic.active():
            self._begin()
            # Sleeping between beacons adds up to 200 ms to a round trip.
            self._nic.config(pm=network.WLAN.PM_NONE)
            self._join()
        elif self._age_ms() >= _AGAIN_MS and self.look() not in ("", STARTING, NO_ADDRESS):
            # ESP32 tries again by itself, RP2 does not.
            self._nic.disconnect()
            self._join()

    def _join(self):
        self._since_ms = time.ticks_ms()
        try:
            self._nic.connect(self._ssid, self._key)
        except OSError:
            pass  # still at the attempt before: the status will tell
