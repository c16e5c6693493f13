"""One sector without any key: its header, its frames, its seal. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.core.errors import FormatError
from bridge.core.journal import layout
from bridge.core.journal.layout import Header

# What a block is
BLANK = "blank"
LOG = "log"
DAMAGED = "damaged header"
FOREIGN = "not a log's"

_MAGIC_SIZE = 4


@dataclass
class Sector:
    """What one block of the dump shows.

    offset    in the dump, bytes
    kind      one of the constants above; what follows is only there for a LOG
    end       end of the bytes in use
    seal      (end, tag), None without a whole seal
    seal_torn something stands where the seal should, and is none
    commits   (where it starts, where it ends) of each whole commit
    resumes, skips  frames that begin a page
    torn      places of frames that were cut short or do not fit their check
    stray     bytes in use behind the last whole frame
    """

    offset: int
    kind: str
    header: Header = field(default=None)  # type: ignore[assignment]
    end: int = 0
    seal: tuple[int, bytes] | None = None
    seal_torn: bool = False
    commits: list[tuple[int, int]] = field(default_factory=list)
    resumes: int = 0
    skips: int = 0
    torn: list[int] = field(default_factory=list)
    stray: int = 0

    @property
    def number(self) -> int:
        return self.header.number


def survey(data: bytes, offset: int) -> Sector:
    """Return what a sector's 4096 bytes show."""
    head = data[: layout.HEADER_SIZE]
    if data.count(layout.BLANK) == len(data):
        return Sector(offset, BLANK)
    try:
        header = layout.parse_header(head)
    except FormatError:
        known = _looks_like_ours(head)
        return Sector(offset, DAMAGED if known else FOREIGN)
    sector = Sector(offset, LOG, header, end=layout.used_end(data))
    sector.seal = layout.parse_seal(data)
    tail = data[layout.SEAL_AT :]
    sector.seal_torn = sector.seal is None and tail.count(layout.BLANK) != len(tail)
    _walk(sector, data)
    return sector


def _looks_like_ours(head: bytes) -> bool:
    """Say whether most of a header's magic and version are there: one byte of it was changed."""
    wanted = b"VKL1" + bytes((layout.FORMAT_VERSION,))
    return sum(a == b for a, b in zip(head, wanted, strict=False)) >= _MAGIC_SIZE


def _walk(sector: Sector, data: bytes) -> None:
    at = layout.HEADER_SIZE
    while at < sector.end:
        kind, start, _, after = layout.look(data, at, layout.SEAL_AT)
        if kind == layout.END:
            sector.torn.append(at)
            after = _next_part(data, at, sector.end)
            if after < 0:
                sector.stray = sector.end - at
                return
        elif kind == layout.COMMIT:
            sector.commits.append((at, after))
        elif kind == layout.RESUME:
            sector.resumes += 1
        else:
            sector.skips += 1
            if layout.parse_skip(data, start) != (sector.torn[-1] if sector.torn else -1):
                sector.torn.append(at)
        at = after


def _next_part(data: bytes, torn_at: int, end: int) -> int:
    """Return where a resume, or the skip that names `torn_at`, goes on behind it, -1 for none."""
    at = layout.next_page(torn_at - 1)
    while at < end:
        kind, start, _, _ = layout.look(data, at, layout.SEAL_AT)
        if kind == layout.RESUME:
            return at
        if kind == layout.SKIP and layout.parse_skip(data, start) == torn_at:
            return at
        at = layout.next_page(at)
    return -1
