"""Whether an ECDSA signature on P-256 is right (FIPS 186-5, 6.4.2; SP 800-186, 3.2.1.3).

MicroPython checks such signatures inside TLS and offers none to programs. Nothing here is secret,
so it need not take the same time for every number. It takes seconds on a board, in small steps.
"""

_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_NOWHERE = (0, 1, 0)
# SubjectPublicKeyInfo of a key on this curve up to its point, which is not compressed (RFC 5480)
_KEY_PREFIX = (
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
    b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04"
)


def key_of(certificate):
    """Return the point (x, y) that is the key in a certificate (DER), None without one."""
    at = certificate.find(_KEY_PREFIX)
    if at < 0 or len(certificate) < at + len(_KEY_PREFIX) + 64:
        return None
    at += len(_KEY_PREFIX)
    x = int.from_bytes(certificate[at : at + 32], "big")
    y = int.from_bytes(certificate[at + 32 : at + 64], "big")
    if x >= _P or y >= _P or (y * y - x * x * x + 3 * x - _B) % _P:
        return None
    return x, y


def verify(key, digest, signature):
    """Check a signature step by step: yields None before each step, and at last True or False.

    key        the point (x, y) of `key_of`
    digest     32 bytes, SHA-256 of what was signed
    signature  64 bytes, r and s, each big-endian
    """
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if not 0 < r < _N or not 0 < s < _N:
        yield False
        return
    inverse = _inverse(s, _N)
    first = int.from_bytes(digest, "big") * inverse % _N
    second = r * inverse % _N
    both = _affine(_add(_G + (1,), key))
    points = (None, _G, key, both)
    total = _NOWHERE
    for bit in range(255, -1, -1):
        yield None
        total = _double(total)
        point = points[(first >> bit & 1) + 2 * (second >> bit & 1)]
        if point:
            total = _add(total, point)
    x, _, z = total
    # x / z**2 may be r, or r + n where that is still below p.
    zz = z * z % _P
    yield z != 0 and ((x - r * zz) % _P == 0 or (r + _N < _P and (x - (r + _N) * zz) % _P == 0))


# Points are Jacobian, (X, Y, Z) for (X / Z**2, Y / Z**3), but for those of two numbers.


def _double(point):
    x, y, z = point
    if not z:
        return point
    zz = z * z % _P
    slope = 3 * (x - zz) * (x + zz) % _P
    yy = y * y % _P
    across = 4 * x * yy % _P
    x3 = (slope * slope - 2 * across) % _P
    return x3, (slope * (across - x3) - 8 * yy * yy) % _P, 2 * y * z % _P


def _add(point, other):
    x1, y1, z1 = point
    x2, y2 = other
    if not z1:
        return x2, y2, 1
    zz = z1 * z1 % _P
    h = (x2 * zz - x1) % _P
    slope = (y2 * zz * z1 - y1) % _P
    if not h:
        return _NOWHERE if slope else _double(point)
    hh = h * h % _P
    hhh = h * hh % _P
    across = x1 * hh % _P
    x3 = (slope * slope - hhh - 2 * across) % _P
    return x3, (slope * (across - x3) - y1 * hhh) % _P, z1 * h % _P


def _affine(point):
    """Return (x, y), None for the point that is nowhere."""
    x, y, z = point
    if not z:
        return None
    inverse = _inverse(z, _P)
    square = inverse * inverse % _P
    return x * square % _P, y * square * inverse % _P


def _inverse(number, modulus):
    """Return 1 / number; `modulus` is prime and does not divide it."""
    low, high = number % modulus, modulus
    factor, other = 1, 0
    while low > 1:
        ratio = high // low
        low, high = high - ratio * low, low
        factor, other = other - ratio * factor, factor
    return factor % modulus
