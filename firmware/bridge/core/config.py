"""The gateway's configuration: one table of fields, checked whole at start.

The file on the board is `config.json`. Besides the fields it has `bed`, `sites` and `lines`:

    {"bed": "bed-1",
     "sites": [{"name": "primary", "id": "<16 hex digits>", "host": "10.0.0.5", "port": 8883}],
     "lines": [{"uart": 1, "protocol": "masimo_set", "baud": 9600, "bits": 8, "parity": "N",
                "stop": 1, "options": {},
                "devices": [{"name": "oximeter", "class": "A", "unit": 0}]}]}

Sites stand in the ward's order of preference. Their certificates are for "server_name", or for
"host" where there is none; "tls": false is for a broker on the same wire in a trial. They tell the
time at "time_port", 0 for nowhere. "ntp" lists up to four SNTP servers: "10.0.0.1", or with
a port.

What the board's links need to know is in "links":

    {"wifi": {"ssid": "ward", "key": "..."}, "cellular": {"apn": "..."}, "dns": ["10.0.0.2"]}

A line with "tcp": "10.0.0.7:4601" is a device on the network, and "uart" and "baud" are only its
number and pace in reports. A line with "rs485": true drives the transceiver's enable pin that the
board's wiring names.

"console": "open" leaves the prompt on the USB console open, for a bench; at a bed it is closed.

"radio": {"region": "EU868"} lets a board that has one speak when no site receipts; "khz", "sf",
"bandwidth_khz" and "dbm" are those of `airtime.DEFAULTS` unless given.
"""

from bridge.core.address import is_address
from bridge.core.errors import ConfigError
from bridge.core.journal.layout import CLASSES, FIRST_CONFIGURED

# name, default, low, high, unit
FIELDS = (
    ("commit_a_ms", 100, 0, 1000, "ms"),
    ("commit_b_ms", 5000, 0, 10000, "ms"),
    ("commit_c_ms", 30000, 0, 60000, "ms"),
    ("heartbeat_ms", 2000, 500, 60000, "ms"),
    ("peer_silent_ms", 5000, 1000, 60000, "ms"),
    ("receipt_wait_ms", 3500, 1000, 60000, "ms"),
    ("failback_ms", 60000, 1000, 3600000, "ms"),
    ("site_grace_ms", 10000, 1000, 600000, "ms"),
    ("window_bytes", 16384, 2048, 65536, "byte"),
    ("radio_grace_ms", 30000, 1000, 3600000, "ms"),
    ("device_silent_ms", 10000, 1000, 600000, "ms"),
    ("probe_ms", 1000, 200, 60000, "ms"),
    ("link_slow_ms", 50, 5, 5000, "ms"),
    ("link_steady_ms", 60000, 1000, 3600000, "ms"),
    ("link_hold_ms", 30000, 1000, 3600000, "ms"),
    ("trial_ms", 300000, 5000, 3600000, "ms"),
    ("console_open_min", 10, 1, 120, "min"),
)

_SITES_MAX = 4
_LINES_MAX = 8
_DEVICES_MAX = 32
_TEXT_MAX = 24
_HOST_MAX = 253  # of a name in dots, RFC 1035
_EXTRAS_MAX = 16
_NTP_MAX = 4
_NTP_PORT = 123
TIME_PORT = 8322

# What each object must have, and of which type
_SITE = (("name", str), ("id", str), ("host", str), ("port", int))
_SITE_MORE = (("tls", bool), ("server_name", str), ("time_port", int))
_LINE = (("uart", int), ("protocol", str), ("baud", int), ("devices", list))
_LINE_MORE = (
    ("bits", int),
    ("parity", str),
    ("stop", int),
    ("rs485", bool),
    ("tcp", str),
    ("options", dict),
)
_DEVICE = (("name", str), ("class", str), ("unit", int))
_EXTRA = (("id", int), ("label", str), ("unit", str))
# kind of link, what it must have, and what it may have; each with its fewest and most characters
_LINKS = (
    ("wifi", (("ssid", 1, 32), ("key", 8, 63)), ()),
    ("cellular", (("apn", 1, 63),), (("user", 1, 63), ("key", 1, 63))),
)
_SERVERS_MAX = 3


class Config:
    """A checked configuration: every field of FIELDS as an attribute, and bed, sites, lines,
    links and parameters.

    ntp     list of (host, port)

    data    dict as read from config.json
    Raises  ConfigError naming field, value, range and unit
    """

    def __init__(self, data):
        known = {"bed", "sites", "lines", "links", "parameters", "radio", "ntp", "console"}
        for name, default, low, high, unit in FIELDS:
            known.add(name)
            value = data.get(name, default)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ConfigError("%s: %r, want %d to %d %s" % (name, value, low, high, unit))
            setattr(self, name, value)
        for name in data:
            if name not in known:
                raise ConfigError("%s: no such field" % name)
        self.bed = _text(data.get("bed"), "bed")
        self.sites = _table(data, "sites", _SITE, _SITE_MORE, 1, _SITES_MAX)
        self.lines = _table(data, "lines", _LINE, _LINE_MORE, 1, _LINES_MAX)
        self.parameters = _table(data, "parameters", _EXTRA, (), 0, _EXTRAS_MAX)
        self.radio = data.get("radio")
        if self.radio is not None and not isinstance(self.radio, dict):
            raise ConfigError("radio: %r, want an object" % self.radio)
        self.console = data.get("console", "closed")
        if self.console not in ("closed", "open"):
            raise ConfigError("console: %r, want closed or open" % (self.console,))
        self.links = _links(data.get("links", {}))
        self.ntp = _addresses(data.get("ntp", []))
        self._check_sites()
        self._check_devices()
        for extra in self.parameters:
            if not FIRST_CONFIGURED <= extra["id"] <= 0xFFFF:
                raise ConfigError("parameters: id %d, want 32768 to 65535" % extra["id"])

    def _check_sites(self):
        for site in self.sites:
            try:
                size = len(bytes.fromhex(site["id"]))
            except ValueError:
                size = 0
            if size != 8:
                raise ConfigError("sites: id %r, want 16 hex digits" % site["id"])
            site.setdefault("tls", True)
            site.setdefault("server_name", site["host"])
            if not 0 <= site.setdefault("time_port", TIME_PORT) <= 65535:
                raise ConfigError("sites: time_port %d, want 0 to 65535" % site["time_port"])

    def _check_devices(self):
        names = set()
        for line in self.lines:
            where = "lines: uart %d" % line["uart"]
            line["devices"] = _table(line, "devices", _DEVICE, (), 1, _DEVICES_MAX)
            for device in line["devices"]:
                if device["class"] not in CLASSES or len(device["class"]) != 1:
                    raise ConfigError("%s: class %r, want A, B or C" % (where, device["class"]))
                if device["name"] in names:
                    raise ConfigError("%s: device %r twice" % (where, device["name"]))
                names.add(device["name"])
            if line.setdefault("parity", "N") not in ("N", "E", "O"):
                raise ConfigError("%s: parity %r, want N, E or O" % (where, line["parity"]))
            line.setdefault("bits", 8)
            line.setdefault("stop", 1)
            line.setdefault("rs485", False)
            line.setdefault("options", {})
        if len(names) > _DEVICES_MAX:
            raise ConfigError("lines: %d devices, want at most %d" % (len(names), _DEVICES_MAX))


def _links(links):
    """Return the settings of links; what is refused is not repeated, since it may be a secret."""
    if not isinstance(links, dict):
        raise ConfigError("links: want an object")
    for kind in links:
        if kind != "dns" and kind not in [known for known, _, _ in _LINKS]:
            raise ConfigError("links: %s: no such link" % kind)
    for kind, must, may in _LINKS:
        settings = links.get(kind, {})
        if not isinstance(settings, dict):
            raise ConfigError("links: %s: want an object" % kind)
        for field in settings:
            if field not in [name for name, _, _ in must + may]:
                raise ConfigError("links: %s: %s: no such field" % (kind, field))
        for name, low, high in must + may:
            value = settings.get(name)
            if value is None and (kind not in links or (name, low, high) in may):
                continue
            is_fit = isinstance(value, str) and low <= len(value.encode()) <= high
            # They would end a modem's command early.
            if (
                not is_fit
                or "\r" in value
                or "\n" in value
                or (kind == "cellular" and '"' in value)
            ):
                text = "links: %s: %s: want %d to %d letters, no quotes or line ends"
                raise ConfigError(text % (kind, name, low, high))
    servers = links.get("dns", [])
    if not isinstance(servers, list) or len(servers) > _SERVERS_MAX:
        raise ConfigError("links: dns: want a list of at most %d" % _SERVERS_MAX)
    for server in servers:
        if not isinstance(server, str) or not is_address(server):
            raise ConfigError("links: dns: %r, want an address in numbers" % (server,))
    return links


def _text(value, name, most=_TEXT_MAX):
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise ConfigError("%s: %r, want 1 to %d characters" % (name, value, most))
    return value


def _addresses(rows):
    if not isinstance(rows, list) or len(rows) > _NTP_MAX:
        raise ConfigError("ntp: want a list of at most %d" % _NTP_MAX)
    found = []
    for row in rows:
        host, colon, port = _text(row, "ntp").partition(":")
        try:
            number = int(port) if colon else _NTP_PORT
        except ValueError:
            number = 0
        if not host or not 0 < number <= 65535:
            raise ConfigError("ntp: %r, want an address like 10.0.0.1 or 10.0.0.1:123" % row)
        found.append((host, number))
    return found


def _table(data, name, fields, optional, low, high):
    rows = data.get(name, [])
    if not isinstance(rows, list) or not low <= len(rows) <= high:
        raise ConfigError("%s: want a list of %d to %d" % (name, low, high))
    allowed = {field for field, _ in fields + optional}
    for row in rows:
        if not isinstance(row, dict):
            raise ConfigError("%s: %r, want an object" % (name, row))
        for field in row:
            if field not in allowed:
                raise ConfigError("%s: %s: no such field" % (name, field))
        for field, kind in fields + optional:
            if field not in row:
                if (field, kind) in fields:
                    raise ConfigError("%s: %s is missing" % (name, field))
                continue
            if not isinstance(row[field], kind):
                raise ConfigError("%s: %s is %r" % (name, field, row[field]))
            if kind is str:
                most = _HOST_MAX if field in ("host", "server_name") else _TEXT_MAX
                _text(row[field], "%s: %s" % (name, field), most)
    return rows
