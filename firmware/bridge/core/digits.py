"""Digits that devices write as characters, read in place and without allocating."""


def hex_value(byte):
    """Return what an upper-case hex digit says, -1 when it is none."""
    if 0x30 <= byte <= 0x39:
        return byte - 0x30
    return byte - 0x37 if 0x41 <= byte <= 0x46 else -1


def hex_pair(data, at):
    """Return the number of the two upper-case hex digits at `at`, -1 when they are none."""
    high = hex_value(data[at])
    low = hex_value(data[at + 1])
    return -1 if high < 0 or low < 0 else high << 4 | low


def hex_digit(number):
    """Return the character of a number from 0 to 15, as a byte."""
    return number + (0x30 if number < 10 else 0x37)
