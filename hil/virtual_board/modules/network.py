"""`network` of the port that the rig names: statuses, address and default route as the ports do.

What is plugged in or in the air the rig says with a switch for each link, `link-lan` and so on:

    up             as it should be; also where the rig says nothing
    down           the cable is out, no access point is in reach
    no-address     the link is there, and DHCP never answers
    refused        the access point takes no password
    w-security     it wants another kind of security

Sources: ports/esp32/network_{lan,wlan,ppp}.c, extmod/network_{cyw43,wiznet5k,ppp_lwip}.c.
"""

import time

import vboard

_IS_ESP32 = vboard.settings["port"] == "esp32"
_NOWHERE = "0.0.0.0"
_JOIN_MS = 50  # from plugged in to an address

STA_IF = 0
AP_IF = 1

if _IS_ESP32:
    ETH_INITIALIZED, ETH_STARTED, ETH_STOPPED = 0, 1, 2
    ETH_CONNECTED, ETH_DISCONNECTED, ETH_GOT_IP = 3, 4, 5
    PHY_LAN8720, PHY_W5500 = 1, 8
    STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
    STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 200, 201, 202
    STAT_CONNECT_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 204
    STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY = 210
else:
    STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 0, 1, 3
    STAT_CONNECT_FAIL, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = -1, -2, -3

up = []  # interfaces in the order in which they were activated, the last at the end
_ppp_default = None  # the PPP that took the default route


class Interface:
    """What all have in common.

    kind      as in the boards' wiring
    priority  of the default route in ESP-IDF
    """

    kind = ""
    priority = 0
    ifname = ""
    address = _NOWHERE

    def _begin(self):
        self._active = False
        self._since_ms = 0
        self._is_there = False

    def active(self, on=None):
        if on is None:
            return self._active
        if bool(on) != self._active:
            self._active = bool(on)
            self._is_there = False
            if self in up:
                up.remove(self)
            if on:
                up.append(self)

    def plug(self):
        """Return what the rig says of this link."""
        return vboard.read_switch("link-" + self.kind) or "up"

    def isconnected(self):
        return self._has_address()

    def _has_address(self):
        is_there = self._active and self.plug() == "up" and self._is_asked()
        if is_there != self._is_there:
            self._is_there = is_there
            self._since_ms = time.ticks_ms()
        return is_there and time.ticks_diff(time.ticks_ms(), self._since_ms) >= _JOIN_MS

    def _is_asked(self):
        return True

    def ifconfig(self, fields=None):
        """Return address, mask, gateway and name server."""
        address = self.address if self._has_address() else _NOWHERE
        server = vboard.settings["name_server"] if self._has_address() else _NOWHERE
        return address, "255.0.0.0", _NOWHERE, server

    def config(self, name=None, **options):
        """Return one option, or keep some."""
        if name is None:
            self._options.update(options)
        elif name == "ifname" and not _IS_ESP32:
            raise ValueError("unknown config param")
        else:
            return self.ifname if name == "ifname" else self._options[name]


class _Wired(Interface):
    def __init__(self):
        self._options = {"mac": bytes.fromhex(vboard.settings["unique_id"])}
        self._begin()


class LAN(_Wired):
    """network.LAN of the ESP32 port, by RMII or a W5500."""

    priority = 50
    ifname = "en1"
    address = "10.1.0.2"

    def __init__(self, id=0, phy_type=None, **options):
        self.kind = "w5500" if phy_type == 8 else "lan"
        super().__init__()

    def status(self):
        if not self._active:
            return ETH_INITIALIZED
        if self._has_address():
            return ETH_GOT_IP
        return ETH_DISCONNECTED if self.plug() == "down" else ETH_CONNECTED


class WIZNET5K(_Wired):
    """network.WIZNET5K of the RP2 port, with lwIP."""

    kind = "w5500"
    address = "10.1.0.2"

    def __init__(self, spi, cs, reset, interrupt=None):
        super().__init__()

    def status(self):
        if self.plug() == "down":
            return 0
        return 2 if self._active else 1


class WLAN(Interface):
    """network.WLAN as a station; an access point is there when the switch says so."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    kind = "wifi"
    priority = 100
    ifname = "st1"
    address = "10.2.0.2"

    def __init__(self, id=STA_IF, **options):
        self._options = {"pm": 1, "mac": bytes.fromhex(vboard.settings["unique_id"])}
        self._wanted = False
        self._failed = ""  # what the last attempt ended with; RP2 does not try again by itself
        self._begin()

    def active(self, on=None):
        if on is False:
            self._wanted = False
        return super().active(on)

    def connect(self, ssid=None, key=None, **options):
        if not self._active:
            raise OSError("Wifi Not Started")
        self._wanted = True
        self._failed = ""

    def disconnect(self):
        self._wanted = False
        self._failed = ""

    def _is_asked(self):
        if self._wanted and not _IS_ESP32 and self.plug() not in ("up", "no-address"):
            self._failed = self._failed or self.plug()
        return self._wanted and not self._failed

    def status(self, what=None):
        if self._has_address():
            return STAT_GOT_IP
        if not self._wanted:
            return STAT_IDLE
        what = self._failed or self.plug()
        if what == "down":
            return STAT_NO_AP_FOUND
        if what == "refused":
            return STAT_WRONG_PASSWORD
        if what == "w-security":
            return STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY if _IS_ESP32 else STAT_CONNECT_FAIL
        return STAT_CONNECTING if _IS_ESP32 else 2  # joined, without an address


_INACTIVE, _ACTIVE, _ERROR, _CONNECTING, _CONNECTED = 0, 1, 2, 3, 4
_ASK_MS = 200
_CLOSE_MS = 1000  # Terminate-Requests; 6 s on boards


class PPP(Interface):
    """network.PPP over a UART, with the rig's modem (hil/modem.py) at the far end.

    What LCP and IPCP say to each other is three words here. Nothing is asked once it is up: a
    modem that was reset is not missed, as on the ports, which send no LCP echoes.
    """

    SEC_NONE, SEC_PAP, SEC_CHAP = 0, 1, 2
    kind = "cellular"
    ifname = "pp1"

    def __init__(self, stream):
        self._uart = stream
        self._state = _INACTIVE
        self._said_ms = 0
        self._heard = b""
        self._begin()

    def active(self, on=None):
        if not _IS_ESP32:
            raise AttributeError("active")
        if on is False:
            self._close()
        return self._state >= _ACTIVE

    def connect(self, security=0, user=None, key=None):
        global _ppp_default
        self._poll()
        if self._state in (_CONNECTING, _CONNECTED):
            raise OSError(114)  # EALREADY
        self._state = _CONNECTING
        self._heard = b""
        self._said_ms = time.ticks_add(time.ticks_ms(), -_ASK_MS)
        _ppp_default = self  # at once, before there is an address
        if self not in up:
            up.append(self)
        self._poll()

    def disconnect(self):
        if self._state in (_CONNECTING, _CONNECTED):
            self._uart.write(b"~BYE~")
            self._closing_ms = time.ticks_ms()
            self._state = -_CONNECTING

    def isconnected(self):
        self._poll()
        return self._state == _CONNECTED

    def status(self):
        self._poll()
        return abs(self._state)

    def _has_address(self):
        return self.isconnected()

    def config(self, name=None, **options):
        if name == "ifname" and _IS_ESP32:
            return self.ifname if self._state >= _ACTIVE else None
        raise ValueError("unknown config param")

    def _close(self):
        global _ppp_default
        self._state = _INACTIVE
        self.address = _NOWHERE
        if _ppp_default is self:
            _ppp_default = None
        if self in up:
            up.remove(self)

    def _poll(self):
        """Do what the port does whenever its UART has something."""
        if self._state in (_INACTIVE, _ERROR):
            return
        self._heard = (self._heard + (self._uart.read() or b""))[-200:]
        now_ms = time.ticks_ms()
        if self._state == -_CONNECTING:
            gone = time.ticks_diff(now_ms, self._closing_ms) >= _CLOSE_MS
            if gone or b"~BYE~" in self._heard:
                self._close()
        elif b"~BYE~" in self._heard:
            self._close()
            self._state = _ERROR
        elif self._state == _CONNECTING:
            at = self._heard.find(b"~IP ")
            end = self._heard.find(b"~", at + 1) if at >= 0 else -1
            if end > 0:
                self.address = self._heard[at + 4 : end].decode()
                self._state = _CONNECTED
                self._heard = b""
            elif time.ticks_diff(now_ms, self._said_ms) >= _ASK_MS:
                self._said_ms = now_ms
                self._uart.write(b"~LCP~")


def default():
    """Return the interface of the default route, None where there is none that works.

    ESP32: Wi-Fi before the cable, and PPP before both as soon as it was told to connect.
    RP2: whatever was activated last, whether it works or not.
    """
    if _IS_ESP32:
        if _ppp_default is not None:
            return _ppp_default if _ppp_default.isconnected() else None
        best = None
        for nic in up:
            if nic.isconnected() and (best is None or nic.priority > best.priority):
                best = nic
        return best
    return up[-1] if up and up[-1].isconnected() else None


def by_ifname(ifname):
    for nic in up:
        if nic.ifname == ifname:
            return nic
    return None


if _IS_ESP32:
    del WIZNET5K
else:
    del LAN


def _reset_modem(level):
    if not level:
        vboard.tell("modem", "reset")


def _solder():
    """Connect the pin that resets the modem, where the board's wiring has one."""
    try:
        import wiring
    except ImportError:
        return
    for row in getattr(wiring, "LINKS", ()):
        if row["kind"] == "cellular" and "reset" in row:
            vboard.pins[row["reset"]] = _reset_modem


_solder()
