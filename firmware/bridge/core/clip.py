"""Text that must fit: whole characters, as UTF-8."""


def clip(text, size):
    """Return the bytes of `text`, at most `size` of them, and no part of a character."""
    data = text.encode()
    if len(data) <= size:
        return data
    end = size
    while data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end]
