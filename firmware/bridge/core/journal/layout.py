"""Every byte of a log sector: sizes, places, packing, checks. The drawing is docs/formats/log.md.

    0        74                                     4076         4096
    | header | frame | frame | ... | 0xFF ...       | seal frame |

A frame is a commit (length, ciphertext, check), or on a page only a resume or a skip. All
numbers are little-endian.
"""

import struct

from micropython import const

from bridge.core.checks import count_zero_bits
from bridge.core.errors import FormatError

FORMAT_VERSION = const(2)
SECTOR_SIZE = const(4096)
PAGE_SIZE = const(256)  # the largest program unit of the media that can carry this layout
HEADER_SIZE = const(74)
RELEASED_AT = const(7)  # the one byte outside every check and tag
COPIED = b"\x0f"  # there: one site has the sector
RELEASED = b"\x00"  # as many have it as the policy wants
SEAL_AT = const(4076)
SEAL_SIZE = const(20)
SEAL_TAG_SIZE = const(16)
RESUME_SIZE = const(35)
RANDOM_SIZE = const(16)
COMMIT_MAX = const(640)  # coded bytes of one commit
COMMIT_OVERHEAD = const(4)  # length and check at their longest
SKIP_SIZE = const(8)

CLASSES = "ABC"

# Parameters are two-byte ids: those of codes.py in this version of its table, and from
# FIRST_CONFIGURED up the ones that each sector's dictionary spells out.
TABLE_VERSION = const(3)
FIRST_CONFIGURED = const(0x8000)

# Clock states, in headers, resumes and clock records
CLOCK_UNKNOWN = const(0)
CLOCK_SNTP = const(1)  # servers agreed that nobody authenticates
CLOCK_SITE = const(2)  # a site answered, authenticated

BLANK = const(0xFF)
_SEAL_MARK = const(0xFE)
_RESUME_MARK = b"\xfdVKR"
_SKIP_MARK = b"\xfcVKS"
_LONG_FIRST = const(0xE0)
_LONG_LAST = const(0xEF)

_HEADER = "<4sBBBB8s8sIHIHIQq16s"
_MAGIC = b"VKL1"
_RESUME = "<4s8sIQqB"
_CHECKED = HEADER_SIZE - 2

# What a walk finds at a place
COMMIT = const(1)
RESUME = const(2)
SKIP = const(3)
END = const(4)  # blank, torn or not ours: the walk goes on at the next page, if at all


class Header:
    """The facts at the start of a sector.

    epoch        which seed the chain keys come from; 0 until the key region was ever lost
    epoch_first  the class's first sector number in this epoch
    """

    def __init__(
        self,
        cls,
        gateway,
        log_id,
        number,
        epoch,
        epoch_first,
        table,
        boot,
        mono_ms,
        utc_ms,
        clock,
    ):
        self.cls = cls
        self.gateway = gateway
        self.log_id = log_id
        self.number = number
        self.epoch = epoch
        self.epoch_first = epoch_first
        self.table = table
        self.boot = boot
        self.mono_ms = mono_ms
        self.utc_ms = utc_ms
        self.clock = clock
        self.random = b""
        self.released = False
        self.copied = False

    def pack(self, random):
        """Return the HEADER_SIZE bytes; `random` is 16 fresh bytes and makes the keys unique."""
        self.random = random
        data = bytearray(HEADER_SIZE)
        struct.pack_into(
            _HEADER,
            data,
            0,
            _MAGIC,
            FORMAT_VERSION,
            self.cls,
            self.clock,
            BLANK,
            self.gateway,
            self.log_id,
            self.number,
            self.epoch,
            self.epoch_first,
            self.table,
            self.boot,
            self.mono_ms,
            self.utc_ms,
            random,
        )
        struct.pack_into("<H", data, _CHECKED, count_zero_bits(data, 0, _CHECKED))
        return data


def parse_header(data):
    """Return the Header at the start of `data`; raises FormatError when it is none or is torn."""
    if len(data) < HEADER_SIZE:
        raise FormatError("sector header: %d bytes, want %d" % (len(data), HEADER_SIZE))
    fields = struct.unpack_from(_HEADER, data, 0)
    if fields[0] != _MAGIC or fields[1] != FORMAT_VERSION:
        raise FormatError("sector header: magic %r version %d" % (fields[0], fields[1]))
    zeros = count_zero_bits(data, 0, _CHECKED)
    # The released mark is not part of the check: put back the ones it may have cleared.
    zeros -= count_zero_bits(data, RELEASED_AT, RELEASED_AT + 1)
    if zeros != data[_CHECKED] | data[_CHECKED + 1] << 8 or fields[2] >= len(CLASSES):
        raise FormatError("sector header: torn or damaged")
    header = Header(fields[2], *fields[5:14], fields[3])
    header.random = fields[14]
    # A mark that was cut short says less than it would have, never more.
    header.released = fields[4] == RELEASED[0]
    header.copied = fields[4] & 0xF0 == 0
    return header


def check_size(covered):
    """Return how many bytes the check of `covered` bytes takes: a count of 248 fits in one."""
    return 1 if covered <= 31 else 2


def frame_size(length):
    """Return the bytes on flash of a commit of `length` plaintext bytes."""
    covered = length + (1 if length < _LONG_FIRST else 2)
    return covered + check_size(covered)


def put_length(frame, length):
    """Write the length of a commit at the start of `frame`; return where the ciphertext goes."""
    if length < _LONG_FIRST:
        frame[0] = length
        return 1
    frame[0] = _LONG_FIRST | length >> 8
    frame[1] = length & 0xFF
    return 2


def put_check(frame, covered):
    """Write the check behind the first `covered` bytes and return the frame's size."""
    zeros = count_zero_bits(frame, 0, covered)
    frame[covered] = zeros & 0xFF
    if covered <= 31:
        return covered + 1
    frame[covered + 1] = zeros >> 8
    return covered + 2


def look(data, at, end):
    """Say what stands at `at` of the sector bytes `data[:end]`.

    Returns (kind, start, stop, next): for a COMMIT the ciphertext is data[start:stop]; a torn or
    incomplete frame is an END. So is what looks like a commit and has a page in it on which the
    writer went on: that began before the commit was whole.
    """
    limit = min(end, SEAL_AT)
    if at >= limit:
        return END, at, at, at
    first = data[at]
    kind = COMMIT
    if first == _RESUME_MARK[0] or first == _SKIP_MARK[0]:
        kind, size, mark = RESUME, RESUME_SIZE, _RESUME_MARK
        if first == _SKIP_MARK[0]:
            kind, size, mark = SKIP, SKIP_SIZE, _SKIP_MARK
        start = at
        covered = size - check_size(size - 1)
        stop = at + size
        if at % PAGE_SIZE or stop > limit or data[at : at + 4] != mark:
            return END, at, at, at
    else:
        if 0 < first < _LONG_FIRST:
            covered = 1 + first
            start = at + 1
        elif first <= _LONG_LAST and first and at + 1 < limit:
            covered = 2 + ((first & 0x0F) << 8 | data[at + 1])
            start = at + 2
        else:
            return END, at, at, at
        stop = at + covered + check_size(covered)
        if stop > limit:
            return END, at, at, at
    check = at + covered
    stored = data[check]
    if covered > 31:
        stored |= data[check + 1] << 8
    if stored != count_zero_bits(data, at, check):
        return END, at, at, at
    if kind != COMMIT:
        return kind, at, stop, stop
    page = next_page(at)
    while page < stop:
        if _goes_on(data, page, at, limit):
            return END, at, at, at
        page += PAGE_SIZE
    return COMMIT, start, check, stop


def _goes_on(data, page, torn_at, end):
    """Say whether a resume, or the skip for the frame at `torn_at`, stands on a page.

    While its bytes are still arriving, what may become one counts.
    """
    size, mark = RESUME_SIZE, _RESUME_MARK
    if data[page] == _SKIP_MARK[0]:
        size, mark = SKIP_SIZE, _SKIP_MARK
    known = min(4, end - page)
    if bytes(data[page : page + known]) != mark[:known]:
        return False
    if page + size > end:
        return True
    kind, _, _, _ = look(data, page, end)
    return kind == RESUME or (kind == SKIP and parse_skip(data, page) == torn_at)


def next_page(at):
    """Return the first page boundary behind `at`."""
    return (at // PAGE_SIZE + 1) * PAGE_SIZE


def pack_resume(random, boot, mono_ms, utc_ms, clock):
    """Return the RESUME_SIZE bytes that open a page after a boot; `random` is 8 fresh bytes."""
    data = bytearray(RESUME_SIZE)
    struct.pack_into(_RESUME, data, 0, _RESUME_MARK, random, boot, mono_ms, utc_ms, clock)
    put_check(data, RESUME_SIZE - 2)
    return data


def parse_resume(data, at):
    """Return (random, boot, mono_ms, utc_ms, clock) of the resume frame at `at`."""
    return struct.unpack_from(_RESUME, data, at)[1:]


def pack_skip(torn_at):
    """Return the SKIP_SIZE bytes that open a page after the frame at `torn_at` failed."""
    data = bytearray(SKIP_SIZE)
    struct.pack_into("<4sHB", data, 0, _SKIP_MARK, torn_at, 0)
    put_check(data, SKIP_SIZE - 1)
    return data


def parse_skip(data, at):
    """Return which frame failed, for which the skip frame at `at` stands in."""
    return struct.unpack_from("<H", data, at + 4)[0]


def pack_seal(end, tag):
    """Return the SEAL_SIZE bytes that close a sector whose last byte in use is end - 1."""
    data = bytearray(SEAL_SIZE)
    struct.pack_into("<BH16s", data, 0, _SEAL_MARK, end, tag)
    put_check(data, SEAL_SIZE - 1)
    return data


def parse_seal(data, at=SEAL_AT):
    """Return (end, tag) of the seal frame at `at`, or None when there is none or it is torn."""
    if data[at] != _SEAL_MARK or data[at + 19] != count_zero_bits(data, at, at + 19):
        return None
    _, end, tag = struct.unpack_from("<BH16s", data, at)
    return end, tag


def used_end(data):
    """Return the end of what was ever programmed before the seal's place.

    No frame and no header ends with 0xFF (its last byte is a count's high part), so this is
    exact: the same before and after a reboot.
    """
    end = SEAL_AT
    while end and data[end - 1] == BLANK:
        end -= 1
    return end
