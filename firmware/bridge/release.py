"""Which firmware this is."""

VERSION = "0.1.0"
# No clock that shows an earlier day can be right: (year, month, day).
RELEASED = (2026, 1, 1)
