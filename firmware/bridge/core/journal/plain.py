"""One step of the range coder, for every interpreter. Its twin in machine code is fast.py.

state  array("i"), see coder.py
data   bytearray that is written, bytes-like that are read
cells  array("H") of a model
rates  how far a cell moves towards a bit, in 1/256, by how often it was seen
"""


def encode(state, data, cells, rates, context, bit):
    """Write one bit. At the limit nothing more is written, and the state says so."""
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


def decode(state, data, cells, rates, context):
    """Read one bit; behind the end of the data zeros follow."""
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
