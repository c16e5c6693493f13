"""From a date to seconds since 1970: ports differ in their epoch, and mktime in its arguments."""

from micropython import const

_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_DAYS_TO_1970 = const(719162)


def utc_s(year, month, day, hour=0, minute=0, second=0):
    """Return the seconds from 1970 UTC to a date and time that exist."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - _DAYS_TO_1970
    days += _DAYS_BEFORE[month - 1] + day - 1 + (1 if leap and month > 2 else 0)
    return ((days * 24 + hour) * 60 + minute) * 60 + second
