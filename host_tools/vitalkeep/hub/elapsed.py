"""How long something is ago, also when this machine slept meanwhile: for terms and leases.

time.monotonic() stands still while a machine is suspended (on Linux, and where else it likes). A
term that is counted by it would not be over when the machine wakes, hours after it was.
"""

from __future__ import annotations

import time

_BOOT = getattr(time, "CLOCK_BOOTTIME", None)  # of Linux; elsewhere the fences have to do alone


def elapsed_s() -> float:
    """Return seconds since some moment; they pass while the machine is suspended, too."""
    return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)
