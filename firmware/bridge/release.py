"""Which firmware this is."""

VERSION = "0.1.0"
# The oldest version of config.json that it reads; raised when one must be compiled anew.
CONFIG_VERSION = 1
# No clock that shows an earlier day can be right: (year, month, day).
RELEASED = (2026, 1, 1)
