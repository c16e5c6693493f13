"""Digits that devices write as characters, read in place and without allocating."""

from micropython import const


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


def any_hex_pair(data, at):
    """Return the same where lower-case digits are allowed."""
    high = data[at]
    low = data[at + 1]
    high = hex_value(high - 32 if 0x61 <= high <= 0x66 else high)
    low = hex_value(low - 32 if 0x61 <= low <= 0x66 else low)
    return -1 if high < 0 or low < 0 else high << 4 | low


def number_of(data, start, end):
    """Return what one or more decimal digits say, -1 when anything else is among them."""
    if start >= end:
        return -1
    value = 0
    for at in range(start, end):
        digit = data[at] - 0x30
        if not 0 <= digit <= 9:
            return -1
        value = 10 * value + digit
    return value


def hex_number_of(data, start, end):
    """Return what one or more upper-case hex digits say, -1 when anything else is among them."""
    if start >= end:
        return -1
    value = 0
    for at in range(start, end):
        digit = hex_value(data[at])
        if digit < 0:
            return -1
        value = value << 4 | digit
    return value


def matches(data, at, word):
    """Say whether `word` stands at `at`."""
    for index in range(len(word)):
        if data[at + index] != word[index]:
            return False
    return True


def hex_digit(number):
    """Return the character of a number from 0 to 15, as a byte."""
    return number + (0x30 if number < 10 else 0x37)


_DIGITS_MAX = const(9)  # what fits in the 32 bits of an observation


class Decimal:
    """A decimal number read from text: 7.2 is value 72, decimals 1."""

    def __init__(self):
        self.value = 0
        self.decimals = 0

    def read(self, data, start, end):
        """Take data[start:end]; False when it is anything but sign, digits and one point.

        At most 9 digits and 6 decimals; spaces around it do not count, "5." and ".5" are numbers.
        """
        while start < end and data[start] == 0x20:
            start += 1
        while end > start and data[end - 1] == 0x20:
            end -= 1
        negative = start < end and data[start] == 0x2D
        if negative or (start < end and data[start] == 0x2B):
            start += 1
        value = digits = 0
        point = -1
        for at in range(start, end):
            byte = data[at]
            if 0x30 <= byte <= 0x39:
                value = 10 * value + byte - 0x30
                digits += 1
                if digits > _DIGITS_MAX:
                    return False
            elif byte == 0x2E and point < 0:
                point = digits
            else:
                return False
        if not digits or (point >= 0 and digits - point > 6):
            return False
        self.value = -value if negative else value
        self.decimals = digits - point if point >= 0 else 0
        return True


def text_of(data, start, end):
    """Return bytes as text, with dots for what cannot be printed."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[start:end])
