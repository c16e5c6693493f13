"""Where logs go on in a new key epoch, and the sectors that it leaves without a seal. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.core.journal import layout
from vitalkeep.hub import sectors
from vitalkeep.hub.batch import Batch
from vitalkeep.hub.chains import begins_epoch
from vitalkeep.hub.decode import Row, epoch_row, orphan_row, silent_row
from vitalkeep.hub.sectors import Place, Sector, Stream


class Epochs:
    """What the headers of sectors say of each other.

    known  the sectors that are loaded
    """

    def __init__(self, known: Mapping[Place, Sector]) -> None:
        self._sectors = known
        self._told: set[tuple[Stream, int]] = set()

    def forget(self) -> None:
        """What was told may not have been stored."""
        self._told.clear()

    def note(self, sector: Sector, batch: Batch) -> None:
        """Say what a header that has just come means: a new epoch, an orphan before it."""
        place = sector.place
        header = layout.parse_header(sector.data)
        before = self._sectors.get(place._replace(sector=place.sector - 1))
        told = (place[:3], header.epoch)
        if header.epoch and told not in self._told:
            self._told.add(told)
            # Within an epoch only the first sector is news, or one behind a hole; a row that
            # comes twice has the same position.
            if begins_epoch(header) or before is None or not before.data:
                batch.add("events", epoch_row(header, place, batch.now_ms))
        behind = self._sectors.get(place._replace(sector=place.sector + 1))
        self._close_orphan(before, sector, batch)
        self._close_orphan(sector, behind, batch)

    def _close_orphan(self, sector: Sector | None, behind: Sector | None, batch: Batch) -> None:
        """Close a sector that the one behind it shows to be without a key."""
        if sector is None or behind is None or sector.state != sectors.OPEN:
            return
        if min(len(sector.data), len(behind.data)) < layout.HEADER_SIZE:
            return
        if begins_epoch(layout.parse_header(behind.data)):
            self._orphan(sector, orphan_row, batch)

    def close_silent(self, sector: Sector, batch: Batch) -> None:
        """Close an open sector of which nobody has heard for long.

        Should its gateway come back, its runs and its seal are taken all the same.
        """
        if sector.state == sectors.OPEN and len(sector.data) >= layout.HEADER_SIZE:
            self._orphan(sector, silent_row, batch)

    @staticmethod
    def _orphan(sector: Sector, row: Callable[..., Row], batch: Batch) -> None:
        batch.dirty.setdefault(sector.place, len(sector.data))
        sector.state = sectors.ORPHAN
        header = layout.parse_header(sector.data)
        batch.add("events", row(header, sector.place, batch.now_ms))
