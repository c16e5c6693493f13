"""Philips IntelliVue: ids of values and waves, and numbers as the monitor writes them."""

from micropython import const

from bridge.core.events import NO_VALUE, QUESTIONABLE, VALID

_STATE_NONE = const(0xBC00)  # invalid, unavailable, calibrating, test, demo
_STATE_DOUBT = const(0x4000)

# physio id, unit id, parameter
NUMERICS = (
    (0x4182, 0x0AA0, 4),
    (0x4261, 0x0AA0, 237),
    (0x4BB8, 0x0220, 1),
    (0x4822, 0x0AA0, 2),
    (0x480A, 0x0AA0, 224),
    (0x4BB0, 0x0200, 225),
    (0x500A, 0x0AE0, 5),
    (0x5012, 0x0AE0, 80),
    (0x50B0, 0x0F20, 99),
    (0x50B0, 0x0F03, 100),
    (0x50BA, 0x0F20, 238),
    (0x50BA, 0x0F03, 239),
    (0x4A05, 0x0F20, 20),
    (0x4A06, 0x0F20, 21),
    (0x4A07, 0x0F20, 22),
    (0x4A11, 0x0F20, 226),
    (0x4A12, 0x0F20, 227),
    (0x4A13, 0x0F20, 228),
    (0x4A15, 0x0F20, 16),
    (0x4A16, 0x0F20, 17),
    (0x4A17, 0x0F20, 18),
    (0x4A1D, 0x0F20, 229),
    (0x4A1E, 0x0F20, 230),
    (0x4A1F, 0x0F20, 231),
    (0x4A47, 0x0F20, 19),
    (0x5808, 0x0F20, 232),
    (0x4B48, 0x17A0, 6),
    (0xE004, 0x17A0, 233),
    (0xE014, 0x17A0, 234),
    (0x4BDC, 0x0C00, 235),
    (0x4B04, 0x0C00, 236),
)

# physio id: parameter, decimals, scale where the monitor tells none: lowest and highest value in
# those decimals, and the samples that mean them
WAVES = {
    0x0101: (209, 3, -40960, 40955, 0x0000, 0x3FFF),
    0x0102: (210, 3, -40960, 40955, 0x0000, 0x3FFF),
    0x013D: (211, 3, -40960, 40955, 0x0000, 0x3FFF),
    0x0143: (212, 3, -40960, 40955, 0x0000, 0x3FFF),
    0x4BB4: (213, 0, 0, 0x0FFF, 0x0000, 0x0FFF),
    0x4A14: (216, 1, -400, 5200, 0x00A0, 0x23A0),
    0x4A44: (217, 1, -400, 5200, 0x00A0, 0x23A0),
}


def u16(data, at):
    """Return the two bytes at `at`, high byte first."""
    return data[at] << 8 | data[at + 1]


def mantissa(data, at):
    """Return the mantissa of the FLOAT at `at`, None when it is no number."""
    value = data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
    if 0x7FFFFE <= value <= 0x800002:
        return None
    return value - 0x1000000 if value & 0x800000 else value


def exponent(data, at):
    """Return the power of ten of the FLOAT at `at`."""
    return data[at] - 0x100 if data[at] & 0x80 else data[at]


def add_value(observation, data, at):
    """Add the observed value of 10 bytes at `at`, when it is one that we know."""
    physio = u16(data, at)
    parameter = 0
    unit = u16(data, at + 4)
    for known in NUMERICS:
        if known[0] == physio and known[1] == unit:
            parameter = known[2]
    if not parameter:
        return
    state = u16(data, at + 2)
    value = mantissa(data, at + 6)
    tens = exponent(data, at + 6)
    while value and tens < -6 and value % 10 == 0:
        value //= 10
        tens += 1
    if value is None or state & _STATE_NONE or not -6 <= tens <= 3:
        observation.add(parameter, 0, 0, NO_VALUE)
        return
    decimals = -tens if tens < 0 else 0
    if tens > 0:
        value *= 10**tens
    observation.add(parameter, value, decimals, QUESTIONABLE if state & _STATE_DOUBT else VALID)


def scaled(data, at, decimals):
    """Return the FLOAT at `at` as an integer of so many decimals, None when it is no number."""
    value = mantissa(data, at)
    tens = exponent(data, at) + decimals
    if value is None or not -9 <= tens <= 4:
        return None
    return value * 10**tens if tens >= 0 else value // 10**-tens
