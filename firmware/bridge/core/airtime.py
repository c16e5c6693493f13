"""How long a LoRa frame is on the air, and what the law of a region allows.

Time on air: Semtech AN1200.13 "LoRa Modem Designer's Guide", section 3, and the SX1276 data
sheet, 4.1.1.7. Times are whole microseconds, rounded up.
"""

from micropython import const

from bridge.core.errors import ConfigError

FRAME_MAX = const(252)  # bytes, of the driver's packets; the chip's FIFO holds 256
FRAME_US_MAX = const(2500000)  # a longer one would keep the air and this gateway too long
PREAMBLE = const(8)  # symbols
CODING_RATE = const(5)  # 4/5
_LOW_RATE_US = const(16000)  # symbols longer than this need the low data rate optimisation
_FRAME_SHARE = const(750)  # thousandths of a window's airtime that one frame may take
_SF_MIN = const(7)
_SF_MAX = const(12)

HOUR_MS = const(3600000)

# region, lowest kHz, highest kHz, window in ms, airtime in it in ms, most dBm that are radiated
# EU868, EU433: ETSI EN 300 220-2 V3.2.1, table B.1 (ERP): duty cycle in any hour.
# US915: FCC 47 CFR 15.247 (a)(1)(i): 0.4 s within 20 s on one frequency. 125 kHz there is for
# hopping systems only; 500 kHz is digital modulation (a)(2), which is why it is the default.
BANDS = (
    ("EU868", 863000, 865000, HOUR_MS, 3600, 14),
    ("EU868", 865000, 868000, HOUR_MS, 36000, 14),
    ("EU868", 868000, 868600, HOUR_MS, 36000, 14),
    ("EU868", 868700, 869200, HOUR_MS, 3600, 14),
    ("EU868", 869400, 869650, HOUR_MS, 360000, 27),
    ("EU868", 869700, 870000, HOUR_MS, 36000, 14),
    ("EU433", 433050, 434790, HOUR_MS, 360000, 10),
    ("US915", 902000, 928000, 20000, 400, 30),
)

# region: kHz, spreading factor, bandwidth in kHz, dBm
DEFAULTS = {
    "EU868": (869525, 9, 125, 14),
    "EU433": (433920, 9, 125, 10),
    "US915": (915000, 9, 500, 20),
}

_BANDWIDTHS = (125, 250, 500)
_DBM_MIN = const(5)  # what modules with a power amplifier can be set to
_DBM_MAX = const(20)


def time_on_air_us(size, sf, bandwidth_khz, coding_rate=CODING_RATE, preamble=PREAMBLE):
    """Return for how long a frame of `size` bytes is on the air, with explicit header and CRC.

    sf             spreading factor, 7 to 12
    bandwidth_khz  125, 250 or 500
    coding_rate    5 to 8, for 4/5 to 4/8
    """
    symbol = (1 << sf) * 1000  # microseconds times bandwidth_khz
    low_rate = symbol > _LOW_RATE_US * bandwidth_khz
    bits = 8 * size - 4 * sf + 28 + 16
    each = 4 * (sf - 2 * low_rate)
    symbols = 8 + max((bits + each - 1) // each * coding_rate, 0)
    quarters = 4 * (preamble + symbols) + 17  # of symbols: the preamble has 4.25 more
    return (quarters * symbol + 4 * bandwidth_khz - 1) // (4 * bandwidth_khz)


class Plan:
    """Where and how to transmit, checked against the law of the region.

    khz, sf, bandwidth_khz, dbm  of the transmitter
    window_ms, airtime_ms        in any stretch of window_ms it may be on the air for airtime_ms
    frame_max                    bytes of the longest frame
    """

    def __init__(self, region, khz, sf, bandwidth_khz, dbm, window_ms, airtime_ms):
        self.region = region
        self.khz = khz
        self.sf = sf
        self.bandwidth_khz = bandwidth_khz
        self.dbm = dbm
        self.window_ms = window_ms
        self.airtime_ms = airtime_ms
        limit_us = min(FRAME_US_MAX, airtime_ms * _FRAME_SHARE)
        size = FRAME_MAX
        while size and self.frame_us(size) > limit_us:
            size -= 1
        self.frame_max = size

    def frame_us(self, size):
        """Return the time on air of a frame of `size` bytes."""
        return time_on_air_us(size, self.sf, self.bandwidth_khz)

    def tune(self, driver):
        """Set both ends' driver (adafruit_rfm's RFM9x) alike; the frequency it already has."""
        driver.radiohead = False  # our frames have a head of their own
        driver.signal_bandwidth = self.bandwidth_khz * 1000
        driver.spreading_factor = self.sf
        driver.coding_rate = CODING_RATE
        driver.tx_power = self.dbm
        driver.xmit_timeout = self.frame_us(self.frame_max) / 1000000 + 1


def make_plan(settings):
    """Return the Plan that settings ask for.

    settings  dict with "region", and "khz", "sf", "bandwidth_khz", "dbm" where the region's
              defaults are not meant
    Raises    ConfigError for what is not known, or not allowed there
    """
    region = settings.get("region")
    if region not in DEFAULTS:
        known = ", ".join(sorted(DEFAULTS))
        raise ConfigError("radio: region %r, want one of %s" % (region, known))
    names = ("khz", "sf", "bandwidth_khz", "dbm")
    for name in settings:
        if name != "region" and name not in names:
            raise ConfigError("radio: %s: no such field" % name)
    values = []
    for index, name in enumerate(names):
        value = settings.get(name, DEFAULTS[region][index])
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError("radio: %s is %r, want a whole number" % (name, value))
        values.append(value)
    khz, sf, bandwidth_khz, dbm = values
    if not _SF_MIN <= sf <= _SF_MAX:
        raise ConfigError("radio: sf %d, want %d to %d" % (sf, _SF_MIN, _SF_MAX))
    if bandwidth_khz not in _BANDWIDTHS:
        raise ConfigError("radio: bandwidth_khz %d, want 125, 250 or 500" % bandwidth_khz)
    for name, low, high, window_ms, airtime_ms, dbm_max in BANDS:
        half = (bandwidth_khz + 1) // 2
        if name != region or khz - half < low or khz + half > high:
            continue
        if not _DBM_MIN <= dbm <= min(dbm_max, _DBM_MAX):
            most = min(dbm_max, _DBM_MAX)
            raise ConfigError("radio: dbm %d, want %d to %d" % (dbm, _DBM_MIN, most))
        return Plan(region, khz, sf, bandwidth_khz, dbm, window_ms, airtime_ms)
    text = "radio: khz %d with bandwidth_khz %d lies in no band of %s"
    raise ConfigError(text % (khz, bandwidth_khz, region))
