"""A whole dump in order: its logs, what proves them, what is missing and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from bridge.core.errors import BridgeError
from bridge.core.journal import records
from bridge.core.journal.keyring import KeyRing
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from vitalkeep.hub.sectors import Place
from vitalkeep.journal import chain, survey
from vitalkeep.journal.chain import ClassChain, Proof
from vitalkeep.journal.dump import Dump
from vitalkeep.journal.export import clock_row
from vitalkeep.journal.survey import Sector
from vitalkeep.keys.vault import Gateway, Vault

_KEY_MAGIC = b"VKID"
# Of sectors with one number, the one that is most likely the true one
_BEST = (
    chain.VERIFIED, chain.OPEN, chain.UNPROVEN, chain.NO_KEY, chain.ORPHAN, chain.BROKEN,
)  # fmt: skip


class ClassId(NamedTuple):
    gateway: bytes
    log: bytes
    cls: int


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    code    for machines
    damage  True for what should not be; False for what is only worth knowing
    offset  in the dump, -1 when it is about something that is not there
    """

    code: str
    damage: bool
    text: str
    offset: int = -1


@dataclass
class ClassReport:
    """One class of one log: its sectors by number, with their proofs."""

    id: ClassId
    bed: str
    sectors: list[Sector] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    records: Counter[int] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return f"class {CLASSES[self.id.cls]} of gateway {self.id.gateway.hex()}"


@dataclass(frozen=True)
class KeyRegion:
    """A key region, without any key: how many slots hold one, and seeds that are left."""

    offset: int
    gateway: bytes
    log: bytes
    live: int
    torn: int
    spares: int
    from_copy: bool


# A sector, its proof, where it is; called once for each in order of class and number
Take = Callable[[Place, Sector, Proof], None]


class Inspection:
    """Looks at a dump. Nothing is written, and no key is ever shown.

    vault  None to look at the structure alone
    take   is handed each sector that could be read, with its records

    blocks    how many blocks of each kind there are
    classes   ClassReports, in order
    clocks    {gateway: rows of clock records, as the hub's table has them}
    findings  in order of gateway, class and number
    """

    def __init__(self, dump: Dump, vault: Vault | None, take: Take = lambda *_: None) -> None:
        self.blocks: Counter[str] = Counter()
        self.classes: list[ClassReport] = []
        self.clocks: dict[bytes, list[dict[str, int]]] = {}
        self.findings: list[Finding] = []
        self.key_regions: list[KeyRegion] = []
        self._dump = dump
        self._vault = vault
        self._take = take
        self._gaps: dict[tuple[ClassId, int], str] = {}

    @property
    def total(self) -> int:
        """Blocks to look at; `run` tells after each of them, and again after each sector read."""
        return sum(self._dump.blocks(region) for region in self._dump.regions)

    @property
    def is_damaged(self) -> bool:
        return any(finding.damage for finding in self.findings)

    def run(self, tell: Callable[[], None] = lambda: None) -> None:
        known: dict[ClassId, ClassReport] = {}
        beds = self._beds()
        for offset, data in self._blocks():
            sector = survey.survey(data, offset)
            self.blocks[sector.kind] += 1
            if sector.kind == survey.LOG:
                header = sector.header
                id = ClassId(header.gateway, header.log_id, header.cls)
                bed = beds[id.gateway].bed if id.gateway in beds else ""
                known.setdefault(id, ClassReport(id, bed)).sectors.append(sector)
            elif sector.kind == survey.DAMAGED:
                self._find("header", True, f"the header at 0x{offset:x} is damaged", offset)
            tell()
        self.classes = [known[id] for id in sorted(known)]
        self._find_strangers(beds)
        for report in self.classes:
            report.sectors.sort(key=lambda sector: (sector.number, sector.offset))
            self._prove(report, beds.get(report.id.gateway), tell)
        for report in self.classes:
            self._account(report)

    def _find_strangers(self, beds: dict[bytes, Gateway]) -> None:
        """Name what a vault does not know in a dump of a gateway that it knows."""
        if not any(report.id.gateway in beds for report in self.classes):
            return  # it is the wrong vault, and not the sectors that are strange
        for report in self.classes:
            known = beds.get(report.id.gateway)
            if known is not None and report.id.log in known.logs:
                continue
            for sector in report.sectors:
                text = f"{report.name}, log {report.id.log.hex()}, at 0x{sector.offset:x}"
                text += ": the vault knows no such log; it is another's, or its header is damaged"
                self._find("stranger", True, text, sector.offset)

    def _beds(self) -> dict[bytes, Gateway]:
        return {gateway.id: gateway for gateway in self._vault.gateways()} if self._vault else {}

    def _find(self, code: str, damage: bool, text: str, offset: int = -1) -> None:
        self.findings.append(Finding(code, damage, text, offset))

    # --- the file ---

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        dump = self._dump
        for region in dump.regions:
            missing = dump.missing(region)
            if missing:
                where = f"{region.name} at 0x{region.offset:x}"
                self._find(
                    "cut-short", True, f"{where}: {missing} bytes of it are not in the file"
                )
            offset = region.offset
            end = offset + dump.blocks(region) * SECTOR_SIZE
            while offset < end:
                data = dump.sector(offset)
                size = self._key_region(offset, end, data)
                if size:
                    for _ in range(size // SECTOR_SIZE):
                        self.blocks["keys"] += 1
                    offset += size
                    continue
                yield offset, data
                offset += SECTOR_SIZE

    def _key_region(self, offset: int, end: int, data: bytes) -> int:
        """Note a key region that starts here; returns its size, 0 when there is none."""
        if data[: len(_KEY_MAGIC)] != _KEY_MAGIC:
            return 0
        copy = bytearray()
        while offset + len(copy) < end and (not copy or not _is_log(data)):
            copy += data
            data = self._dump.sector(offset + len(copy))
        try:
            ring = KeyRing(_Copy(copy))
            torn = ring.recover()
        except (BridgeError, OSError) as error:
            self._find("keys", True, f"the key region at 0x{offset:x}: {error}", offset)
            return SECTOR_SIZE
        identity = ring.identity
        found = KeyRegion(
            offset,
            identity.gateway,
            identity.log_id,
            len(ring.slots),
            torn,
            ring.spares,
            ring.copied,
        )
        self.key_regions.append(found)
        return len(copy)

    # --- proofs ---

    def _prove(
        self, report: ClassReport, gateway: Gateway | None, tell: Callable[[], None]
    ) -> None:
        links = ClassChain(gateway.root, *report.id) if gateway else None
        sectors, report.sectors = report.sectors, []
        newest = sectors[-1].number
        for _, twins in groupby(sectors, lambda sector: sector.number):
            pairs = [(sector, self._proof(links, sector, newest)) for sector in twins]
            best = min(pairs, key=lambda pair: _BEST.index(pair[1].state))
            if links is not None:
                links.advance(*best)
            for sector, proof in pairs:
                if sector is not best[0]:
                    proof = Proof(chain.BROKEN, f"its number is also at 0x{best[0].offset:x}")
                self._settle(report, sector, proof)
                tell()

    def _proof(self, links: ClassChain | None, sector: Sector, newest: int) -> Proof:
        if links is None:
            return Proof(chain.NO_KEY)
        return links.prove(sector, self._dump.sector(sector.offset), newest)

    def _settle(self, report: ClassReport, sector: Sector, proof: Proof) -> None:
        report.sectors.append(sector)
        report.proofs.append(proof)
        self._note_records(report, sector, proof)
        self._judge(report, sector, proof)
        self._take(Place(*report.id, sector.number), sector, proof)
        proof.records = []  # a dump of 16 MB has millions

    def _note_records(self, report: ClassReport, sector: Sector, proof: Proof) -> None:
        gateway, log, _ = report.id
        for record in proof.records:
            report.records[record.kind] += 1
            if record.kind == records.CLOCK:
                self.clocks.setdefault(gateway, []).append(clock_row(record))
            elif record.kind == records.GAP:
                said = f"{CLASSES[report.id.cls]} sector {sector.number}"
                for number in range(record.first, min(record.last, record.first + 0xFFFF) + 1):
                    self._gaps[ClassId(gateway, log, record.cls), number] = said

    def _judge(self, report: ClassReport, sector: Sector, proof: Proof) -> None:
        where = f"{report.name}, sector {sector.number} at 0x{sector.offset:x}"
        if proof.state == chain.BROKEN:
            self._find("broken", True, f"{where}: {proof.why}", sector.offset)
        elif proof.state == chain.ORPHAN:
            self._find("no-seal", True, f"{where}: {proof.why}", sector.offset)
        elif proof.state == chain.UNPROVEN or proof.why:
            self._find("unproven", False, f"{where}: {proof.why}", sector.offset)
        for at in proof.damaged:
            text = f"{where}: the commit at {at} makes no sense, nor what builds on it"
            self._find("commit", True, text, sector.offset + at)
        if sector.stray and sector.seal is None:
            text = f"{where}: {sector.stray} bytes behind the last whole commit, a write cut short"
            self._find("torn", False, text, sector.offset + sector.end - sector.stray)

    # --- what is not there ---

    def _account(self, report: ClassReport) -> None:
        expected = 0
        oldest = report.sectors[0].number
        for sector in report.sectors:
            for first, last, said in self._explained(report.id, expected, sector.number - 1):
                numbers = f"sector {first}" if first == last else f"sectors {first} to {last}"
                if said:
                    text = f"overwritten before a receipt came, as {said} says"
                elif last < oldest:
                    text = "given up for room: the hub has what it receipted"
                else:
                    text = "not here, and no gap record says why: ask the hub"
                self._find("gap" if said else "absent", False, f"{report.name}: {numbers}: {text}")
            expected = sector.number + 1

    def _explained(self, id: ClassId, first: int, last: int) -> Iterator[tuple[int, int, str]]:
        """Split absent numbers by what says so: (first, last, where a gap record stands or "")."""
        said = [number for known, number in self._gaps if known == id and first <= number <= last]
        at = first
        for text, run in groupby(sorted(said), lambda number: self._gaps[id, number]):
            for begin, end in _runs(run):
                if begin > at:
                    yield at, begin - 1, ""
                yield begin, end, text
                at = end + 1
        if at <= last:
            yield at, last, ""


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Return (first, last) of each run of consecutive numbers."""
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        found = [number for _, number in run]
        yield found[0], found[-1]


def _is_log(data: bytes) -> bool:
    return survey.survey(data, 0).kind in (survey.LOG, survey.DAMAGED)


class _Copy:
    """A block device on a copy of a key region: looking at it finishes what a cut left undone."""

    def __init__(self, data: bytearray) -> None:
        self._data = data

    def readblocks(self, block: int, buffer: Any, offset: int = 0) -> None:
        at = block * SECTOR_SIZE + offset
        buffer[:] = self._data[at : at + len(buffer)]

    def writeblocks(self, block: int, buffer: Any, offset: int) -> None:
        at = block * SECTOR_SIZE + offset
        for index, byte in enumerate(bytes(buffer)):
            self._data[at + index] &= byte

    def ioctl(self, operation: int, argument: int) -> int:
        return {4: len(self._data) // SECTOR_SIZE, 5: SECTOR_SIZE}.get(operation, 0)
