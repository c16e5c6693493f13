"""The steps of the range coder as machine code: plain.py says what they do.

Needs a board whose compiler emits native code; where it does not, the import fails.
"""

import micropython


@micropython.viper
def encode(state_: object, data_: object, cells_: object, rates_: object, context: int, bit: int):
    state = ptr32(state_)  # noqa: F821  the pointer types exist in viper code only
    data = ptr8(data_)  # noqa: F821
    cells = ptr16(cells_)  # noqa: F821
    rates = ptr8(rates_)  # noqa: F821
    cell = cells[context]
    odds = cell >> 4
    seen = cell & 15
    rate = rates[seen]
    span = state[1]
    bound = (span >> 12) * odds
    if bit:
        span = bound
        odds += (4096 - odds) * rate >> 8
    else:
        state[0] += bound
        span -= bound
        odds -= odds * rate >> 8
    if seen < 15:
        seen += 1
    cells[context] = odds << 4 | seen
    while span < 0x100000:
        span <<= 8
        low = state[0]
        size = state[2]
        state[0] = (low & 0xFFFFF) << 8
        if size >= state[3]:
            state[6] = 1
            continue
        if low >> 28:
            at = size - 1
            while data[at] == 255:
                data[at] = 0
                at -= 1
            data[at] += 1
            if at < state[4]:
                state[5] = 1
        data[size] = low >> 20 & 255
        state[2] = size + 1
    state[1] = span


@micropython.viper
def decode(state_: object, data_: object, cells_: object, rates_: object, context: int) -> int:
    state = ptr32(state_)  # noqa: F821
    data = ptr8(data_)  # noqa: F821
    cells = ptr16(cells_)  # noqa: F821
    rates = ptr8(rates_)  # noqa: F821
    cell = cells[context]
    odds = cell >> 4
    seen = cell & 15
    rate = rates[seen]
    code = state[0]
    span = state[1]
    bound = (span >> 12) * odds
    bit = 0
    if code < bound:
        bit = 1
        span = bound
        odds += (4096 - odds) * rate >> 8
    else:
        code -= bound
        span -= bound
        odds -= odds * rate >> 8
    if seen < 15:
        seen += 1
    cells[context] = odds << 4 | seen
    while span < 0x100000:
        span <<= 8
        at = state[2]
        end = state[3]
        code <<= 8
        if at < end:
            code |= (data[at] & 15) << 4
            if at + 1 < end:
                code |= data[at + 1] >> 4
        state[2] = at + 1
    state[0] = code
    state[1] = span
    return bit
