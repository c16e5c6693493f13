"""What a firmware update meets in a gateway, for hil/power_cuts/bundles.py. For MicroPython."""


class Reset(BaseException):
    """machine.reset(): nothing of a program goes on behind it."""


class Machine:
    """The module `machine`."""

    @staticmethod
    def reset():
        raise Reset(Gateway.version)

    class WDT:
        def __init__(self, timeout):
            pass


class _Clock:
    def mono_ms(self):
        return 1


class _Config:
    device_silent_ms = 0
    trial_ms = 5000


class _Counters:
    def __init__(self):
        self.values = {}
        self.last_error = ""

    def add(self, name, count=1):
        raise AssertionError(name)


class _Recorder:
    heard_ms = (0,)
    names = ("monitor",)


class _Wiring:
    BOARD = "VIRTUAL_ESP32S3"


class Gateway:
    """A gateway that is well: its device speaks, and no site was there before or is now."""

    version = ""

    def __init__(self, loader, version):
        Gateway.version = version
        self.loader = loader
        self.config = _Config
        self.wiring = _Wiring
        self.clock = _Clock()
        self.counters = _Counters()
        self.recorder = _Recorder
        self.forwarders = ()
        self.on_trial = False
        self.firmware_said = ""

    def notice_firmware(self, text):
        self.firmware_said = text
