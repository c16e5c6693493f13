"""Check values of device protocols and of our own formats, in plain Python."""


def sum8(data, start, end):
    """Return the sum of the bytes modulo 256 (MEDIBUS)."""
    total = 0
    for index in range(start, end):
        total += data[index]
    return total & 0xFF


def crc16_modbus(data, start, end):
    """Return CRC-16/MODBUS: polynomial 0xA001 reflected, initial 0xFFFF; "123456789" is 0x4B37."""
    crc = 0xFFFF
    for index in range(start, end):
        crc ^= data[index]
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def crc16_ccitt(data, start, end):
    """Return CRC-16/CCITT-FALSE: polynomial 0x1021, initial 0xFFFF; "123456789" is 0x29B1."""
    crc = 0xFFFF
    for index in range(start, end):
        crc ^= data[index] << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


_X25_OF_NIBBLE = (
    0x0000, 0x1081, 0x2102, 0x3183, 0x4204, 0x5285, 0x6306, 0x7387,
    0x8408, 0x9489, 0xA50A, 0xB58B, 0xC60C, 0xD68D, 0xE70E, 0xF78F,
)  # fmt: skip


def crc16_x25(data, start, end):
    """Return CRC-16/X-25: polynomial 0x8408 reflected, inverted; "123456789" is 0x906E."""
    table = _X25_OF_NIBBLE
    crc = 0xFFFF
    for index in range(start, end):
        crc ^= data[index]
        crc = crc >> 4 ^ table[crc & 15]
        crc = crc >> 4 ^ table[crc & 15]
    return crc ^ 0xFFFF


def xor8(data, start, end):
    """Return the exclusive or of the bytes."""
    total = 0
    for index in range(start, end):
        total ^= data[index]
    return total


_ZEROS_IN_NIBBLE = b"\x04\x03\x03\x02\x03\x02\x02\x01\x03\x02\x02\x01\x02\x01\x01\x00"


def count_zero_bits(data, start, end):
    """Return how many bits are 0: a Berger code, which finds every torn NOR write.

    A write cut short leaves ones where zeros belong, in the data (the count falls) and in the
    stored count (it rises), so the two can only agree when the write was complete.
    Source: J. M. Berger, "A note on error detection codes for asymmetric channels", 1961.
    """
    zeros = _ZEROS_IN_NIBBLE
    total = 0
    for index in range(start, end):
        byte = data[index]
        total += zeros[byte >> 4] + zeros[byte & 15]
    return total
