"""The dates in an X.509 certificate (RFC 5280, 4.1), for an alarm weeks before they end. Pure."""

from bridge.core.dates import utc_s
from bridge.core.errors import FormatError

_SEQUENCE = 0x30
_VERSION = 0xA0
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18


def validity(der):
    """Return (not before, not after) of a certificate in DER, seconds since 1970 UTC.

    Raises FormatError when the bytes are no certificate.
    """
    at, end = _inside(der, 0, len(der), _SEQUENCE)  # Certificate
    at, end = _inside(der, at, end, _SEQUENCE)  # TBSCertificate
    if at < end and der[at] == _VERSION:
        at = _behind(der, at, end)
    for _ in range(3):  # serial number, signature algorithm, issuer
        at = _behind(der, at, end)
    at, end = _inside(der, at, end, _SEQUENCE)
    return _seconds(der, at, end), _seconds(der, _behind(der, at, end), end)


def _header(der, at, end):
    """Return (tag, start, stop) of the element at `at`."""
    if at + 2 > end:
        raise FormatError("certificate: cut short at %d" % at)
    size = der[at + 1]
    start = at + 2
    if size & 0x80:
        more = size & 0x7F
        if not 0 < more < 4 or start + more > end:
            raise FormatError("certificate: length at %d" % at)
        size = int.from_bytes(der[start : start + more], "big")
        start += more
    if start + size > end:
        raise FormatError("certificate: %d bytes at %d, cut short" % (size, at))
    return der[at], start, start + size


def _inside(der, at, end, tag):
    found, start, stop = _header(der, at, end)
    if found != tag:
        raise FormatError("certificate: tag 0x%02x at %d, want 0x%02x" % (found, at, tag))
    return start, stop


def _behind(der, at, end):
    return _header(der, at, end)[2]


def _seconds(der, at, end):
    tag, start, stop = _header(der, at, end)
    digits = 2 if tag == _UTC_TIME else 4
    text = bytes(der[start:stop])
    if tag not in (_UTC_TIME, _GENERALIZED_TIME) or len(text) != digits + 11 or text[-1:] != b"Z":
        raise FormatError("certificate: no date at %d" % at)
    try:
        year = int(text[:digits])
        parts = [int(text[place : place + 2]) for place in range(digits, digits + 10, 2)]
    except ValueError:
        raise FormatError("certificate: no date at %d" % at)
    if digits == 2:
        year += 1900 if year >= 50 else 2000
    month, day, hour, minute, second = parts
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        raise FormatError("certificate: no date at %d" % at)
    return utc_s(year, month, day, hour, minute, second)
