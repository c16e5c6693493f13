"""The records inside commits, as a reader gives them back (docs/formats/log.md, "Records").

`mono_ms` is monotonic since the boot `boot`, in steps of 10 ms; clock records tie it to UTC.
"""

from micropython import const

END = const(0)  # of a commit
OBSERVATION = const(1)
WAVE = const(2)
ALARM = const(3)
EVENT = const(4)
GAP = const(5)
CLOCK = const(6)
DEVICE = const(7)  # the dictionary
SHAPE = const(8)
WAVEFORM = const(9)

# Which contexts the numbers in records use (model.number)
KIND_KEY = const(5)  # + KIND_STEP * the kind before
KIND_STEP = const(7)
FIELD_KEY = const(90)
PARAMETER_KEY = const(130)
TIME_KEY = const(170)
COUNT_KEY = const(210)

# Events of the gateway itself
BOOT = const(1)  # text: firmware, MicroPython, reset cause
IDENTITY = const(2)  # what a device said of itself
SITE_UP = const(3)
SITE_DOWN = const(4)
LINK_UP = const(5)
LINK_DOWN = const(6)
DEVICE_SILENT = const(7)
DEVICE_BACK = const(8)
SET_ASIDE = const(9)  # unreadable sectors were found
KEYS_LOST = const(10)  # a class goes on in a new key epoch
WORN = const(11)  # flash did not take what was programmed
SITE_CHOSEN = const(12)  # classes B and C go there from now on
STORE_RENEWED = const(13)  # a site lost what it had: it is sent what is still held
CERTIFICATE = const(14)  # ours ends soon, or was replaced
TIME = const(15)  # the clock: which source set it, a step, an answer that was refused
LINK_CHOSEN = const(16)  # text: the link, and why it is another now
LINK_FAULT = const(17)  # text: the link, and what is wrong with it
COMMAND = const(18)  # an authenticated one that changed something
CONFIGURATION = const(19)  # a new one was kept, or the old one came back
RADIO = const(20)  # on, off, refused by the duty cycle
RADIO_CHOICE = const(21)  # what goes by radio and what had no room; a period goes on
FIRMWARE = const(22)  # another one was refused, put on trial, kept or taken back
CONSOLE = const(23)  # the prompt on the USB console was opened, by whom, or closed
PROBED = const(24)  # an independent client spoke to a site's broker: what came of it

EVENT_NAMES = {
    BOOT: "boot",
    IDENTITY: "identity",
    SITE_UP: "site-up",
    SITE_DOWN: "site-down",
    LINK_UP: "link-up",
    LINK_DOWN: "link-down",
    DEVICE_SILENT: "device-silent",
    DEVICE_BACK: "device-back",
    SET_ASIDE: "set-aside",
    KEYS_LOST: "keys-lost",
    WORN: "worn",
    SITE_CHOSEN: "site-chosen",
    STORE_RENEWED: "store-renewed",
    CERTIFICATE: "certificate",
    TIME: "time",
    LINK_CHOSEN: "link-chosen",
    LINK_FAULT: "link-fault",
    COMMAND: "command",
    CONFIGURATION: "configuration",
    RADIO: "radio",
    RADIO_CHOICE: "radio-choice",
    FIRMWARE: "firmware",
    CONSOLE: "console",
    PROBED: "probed",
}

SHAPES_MAX = const(64)
WAVEFORMS_MAX = const(16)
TICK_MS = const(10)


class Device:
    """Who is meant: name in the ward's configuration, protocol, address on its bus."""

    def __init__(self, name, protocol, unit):
        self.name = name
        self.protocol = protocol
        self.unit = unit


class Value:
    """One parameter of an observation.

    parameter  id of `codes.PARAMETERS`, or 0x8000 up with `label` and `unit` spelled out
    value      decimal integer, 72 with decimals 1 is 7.2; None when there is no value
    state      one of events.VALID, NO_VALUE, QUESTIONABLE, OVER_RANGE, UNDER_RANGE
    """

    def __init__(self, parameter, label, unit, value, decimals, state):
        self.parameter = parameter
        self.label = label
        self.unit = unit
        self.value = value
        self.decimals = decimals
        self.state = state


class Record:
    """Common to all: when, by which boot's clock, and where in the sector.

    offset, index  the commit's place in the sector, and the record's number in the commit
    """

    kind = 0
    boot = 0
    mono_ms = 0
    offset = 0
    index = 0


class ObservationRecord(Record):
    kind = OBSERVATION

    def __init__(self, device, group, values):
        self.device = device
        self.group = group
        self.values = values  # list of Value, unchanged ones included


class WaveRecord(Record):
    """Samples of one waveform, the first at `mono_ms`; None where the device gave none."""

    kind = WAVE

    def __init__(self, device, parameter, label, unit, decimals, period_us, samples):
        self.device = device
        self.parameter = parameter
        self.label = label
        self.unit = unit
        self.decimals = decimals
        self.period_us = period_us
        self.samples = samples  # list of decimal integers or None


class AlarmRecord(Record):
    kind = ALARM

    def __init__(self, device, page, code, priority, active, text):
        self.device = device
        self.page = page
        self.code = code
        self.priority = priority
        self.active = active
        self.text = text


class EventRecord(Record):
    kind = EVENT

    def __init__(self, event, text):
        self.event = event
        self.text = text


class GapRecord(Record):
    """Sectors `first` to `last` of class number `cls` were overwritten before their receipt."""

    kind = GAP

    def __init__(self, cls, first, last):
        self.cls = cls
        self.first = first
        self.last = last


class ClockRecord(Record):
    """At the exact monotonic time `exact_ms` it was `utc_ms`, give or take `error_ms`."""

    kind = CLOCK

    def __init__(self, exact_ms, utc_ms, error_ms, clock):
        self.exact_ms = exact_ms
        self.utc_ms = utc_ms
        self.error_ms = error_ms
        self.clock = clock
