"""Numbers that devices write as characters, read in place and without allocating."""


def hex_number(data, start, stop):
    """Return the number in the upper-case hex digits data[start:stop], -1 if it is none."""
    number = 0
    for at in range(start, stop):
        byte = data[at]
        if 0x30 <= byte <= 0x39:
            number = number << 4 | byte - 0x30
        elif 0x41 <= byte <= 0x46:
            number = number << 4 | byte - 0x37
        else:
            return -1
    return number if stop > start else -1
