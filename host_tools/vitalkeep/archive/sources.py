"""What a hub can be restored from. To add one: a class, and its line in SOURCES."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from bridge.core.journal import layout
from vitalkeep.archive import manifest, pack
from vitalkeep.archive.bucket import Bucket, BucketError
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.manifest import ManifestError, PackRef
from vitalkeep.archive.others import Other, OtherStore
from vitalkeep.archive.pack import PackError
from vitalkeep.archive.restore import Held, Part, Problem, Promise, Source, Want
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.load import Config
from vitalkeep.hub.sectors import Place, describe_spoilt
from vitalkeep.hub.store import Store, StoreError
from vitalkeep.journal import chain
from vitalkeep.journal.dump import Dump
from vitalkeep.journal.inspect import Inspection
from vitalkeep.journal.survey import Sector
from vitalkeep.keys.vault import Vault

_SQLITE = "sqlite:///"
_INDEX_GUESS = 256 * 1024  # of a pack, in one request with its header


class ArchiveSource(Source):
    """Packs in object storage.

    only  names of packs, None for all that are there
    """

    def __init__(
        self, bucket: Bucket, keys: ArchiveKeys, only: Iterable[PackRef] | None = None
    ) -> None:
        super().__init__(f"archive {bucket.address}")
        self._bucket = bucket
        self._keys = keys
        self._only = None if only is None else list(only)

    def parts(self, want: Want) -> Iterator[Part]:
        for name in self._names():
            yield self._pack(name, want)

    def _names(self) -> list[str]:
        if self._only is not None:
            return [ref.name for ref in self._only]
        try:
            names = [name for name in self._bucket.names() if name.endswith(".pack")]
        except BucketError as error:
            raise error.tool_error() from None
        if not names:
            raise ToolError(f"{self._bucket.address}: there are no packs", "Check the address.")
        # Cold packs hold whole sectors; of the others the newest day has the longest prefixes.
        names.sort(key=lambda name: name.split("/")[-2:-1], reverse=True)
        return sorted(names, key=lambda name: not name.startswith("cold/"))

    def _pack(self, name: str, want: Want) -> Part:
        try:
            data = self._bucket.get(name, 0, _INDEX_GUESS)
            size = pack.index_size(data)
            if size > len(data):
                data += self._bucket.get(name, len(data), size)
            index = pack.read_index(data)
            held = {}
            for entry in index.entries:
                wrong = pack.check_entry(entry, self._keys.of)
                if wrong:
                    self._note(wrong, name, f"{entry.place}: {wrong}")
                else:
                    held[Held(entry.place, entry.length, entry.stored_ms)] = entry
            self.total += len(index.entries)
            wanted = want(list(held))
            if not wanted:
                return
            if len(data) < index.size:
                data = data + self._bucket.get(name, len(data), index.size)
        except BucketError as error:
            self.problems.append(Problem(error.code, name, str(error)))
            return
        except PackError as error:
            self._note(error.code, name, error)
            return
        for found in wanted:
            entry = held[found]
            bytes_ = data[entry.start : entry.start + entry.length]
            wrong = pack.check_bytes(entry, bytes_)
            if wrong:
                self._note(wrong, name, f"{entry.place}: {wrong}", found)
            else:
                yield found, bytes_

    def _note(self, code: str, name: str, text: object, held: Held | None = None) -> None:
        self.problems.append(Problem(code, name, f"{name}: {text}", held))

    def promises(self) -> list[Promise]:
        """Return the heads of the newest full backup of each site and class, and those after."""
        if self._only is not None:
            return []
        newest: dict[tuple[str, str], list[str]] = {}
        for name in self._bucket.names("manifest"):
            newest.setdefault(tuple(name.split("/")[1:3]), []).append(name)  # type: ignore[arg-type]
        found = []
        for names in newest.values():
            for name in reversed(names):
                loaded = self._manifest(name)
                if loaded is None:
                    continue
                found += [Promise(loaded.cls, head, loaded.made_ms) for head in loaded.heads]
                if loaded.kind == manifest.FULL:
                    break
        return found

    def _manifest(self, name: str) -> manifest.Manifest | None:
        try:
            loaded, false = manifest.load(self._bucket.get(name), self._keys.of)
        except (BucketError, ManifestError) as error:
            self._note(getattr(error, "code", "manifest"), name, error)
            return None
        for head in false:
            self._note(pack.FORGED, name, f"the head of {head.gateway.hex()} is not ours")
        return loaded


class FlashSource(Source):
    """A folder of flash images, one a gateway, as esptool, picotool or a clip on the chip make."""

    def __init__(self, folder: Path, vault: Vault) -> None:
        super().__init__(f"flash images in {folder}")
        self._vault = vault
        try:
            self._files = sorted(path for path in folder.iterdir() if path.is_file())
        except OSError as error:
            raise ToolError(f"{folder}: {error.strerror}", "Name a folder of images.") from None
        if not self._files:
            raise ToolError(f"{folder}: no files", "Put the images of the gateways' flash there.")

    def parts(self, want: Want) -> Iterator[Part]:
        for path in self._files:
            yield self._image(path, want)

    def _image(self, path: Path, want: Want) -> Part:
        found: dict[Held, tuple[int, int]] = {}

        def take(place: Place, sector: Sector, proof: chain.Proof) -> None:
            if proof.state in (chain.BROKEN, chain.NO_KEY):
                code = "broken" if proof.state == chain.BROKEN else pack.STRANGER
                text = f"{path.name}: {place}: {proof.why or code}"
                size = layout.SECTOR_SIZE if sector.seal else sector.end
                held = Held(place, size, 0)
                self.problems.append(Problem(code, path.name, text, held))
                return
            size = layout.SECTOR_SIZE if sector.seal else sector.end
            found[Held(place, size, sector.header.utc_ms)] = (sector.offset, size)

        try:
            dump = Dump(path)
        except ToolError as error:
            self.problems.append(Problem(pack.FOREIGN, path.name, error.message))
            return
        with closing(dump):
            Inspection(dump, self._vault, take).run()
            self.total += len(found)
            for held in want(list(found)):
                offset, size = found[held]
                yield held, dump.sector(offset)[:size]


def existing_store(url: str) -> Store:
    """Return a store that is only read; raises ToolError for a file that is not there.

    SQLite would make an empty one, and everything would be missing in it.
    """
    if url.startswith(_SQLITE) and not Path(url[len(_SQLITE) :]).exists():
        raise ToolError(f"{url}: there is no such database", "Check its address.")
    return Store(url)


class StoreSource(Source):
    """The database of another hub, which is read and never written."""

    def __init__(self, url: str) -> None:
        self._store = existing_store(url)
        super().__init__(f"store {self._store.address}")

    def parts(self, want: Want) -> Iterator[Part]:
        try:
            for gateway in self._store.gateways():
                first: Place | None = None
                while known := self._store.sectors_of(gateway, first, 500):
                    self.total += len(known)
                    yield self._part([Held(k.place, k.length, k.stored_ms) for k in known], want)
                    last = known[-1].place
                    first = last._replace(sector=last.sector + 1)
        except StoreError as error:
            raise ToolError(f"{self.name}: {error}", "Check its address.") from None

    def _part(self, held: list[Held], want: Want) -> Part:
        wanted = want(held)
        for start in range(0, len(wanted), 100):
            part = wanted[start : start + 100]
            found = self._store.read_back([entry.place for entry in part])
            for entry in part:
                stored = found[entry.place]
                if stored is not None and stored.cold is not None:
                    text = f"{entry.place}: only its archive has it; name that as a source, too"
                    self.problems.append(Problem("cold", self.name, text))
                elif stored is not None and stored.spoilt is not None:
                    text = describe_spoilt(entry.place, stored.spoilt)
                    self.problems.append(Problem("spoilt", self.name, text))
                elif stored is not None and stored.data:
                    yield entry, stored.data

    def close(self) -> None:
        self._store.close()


def _archive(address: str, vault: Vault, config: Config) -> Source:
    options = config[ArchiveSettings].options()
    return ArchiveSource(Bucket(address, options), ArchiveKeys(vault.gateways()))


def _flash(address: str, vault: Vault, _: Config) -> Source:
    return FlashSource(Path(address.partition(":")[2]), vault)


def _store(address: str, _vault: Vault, _: Config) -> Source:
    return StoreSource(address)


def _peer(address: str, _vault: Vault, config: Config) -> Source:
    # Only where it is used: HTTPS and the exchange are much to import.
    from vitalkeep.archive.peer import PeerHub, PeerSource

    return PeerSource(PeerHub.at(address, config))


# What an address begins with, and what it is then; anything else is an archive.
SOURCES: tuple[tuple[str, Callable[[str, Vault, Config], Source]], ...] = (
    ("flash:", _flash),
    ("sqlite:", _store),
    ("postgresql", _store),
    ("https://", _peer),
)


def make_source(address: str, vault: Vault, config: Config) -> Source:
    """Return the source at an address: flash:FOLDER, a database URL, https://hub-NAME@HOST:PORT of
    a live hub, or an fsspec address.

    config  has the options of an archive, and the certificate to show to a hub
    """
    for head, make in SOURCES:
        if address.startswith(head):
            return make(address, vault, config)
    return _archive(address, vault, config)


def make_other(address: str, config: Config) -> Other:
    """Return another site to compare with, by its database's URL or its live hub's address."""
    if address.startswith("https://"):
        from vitalkeep.archive.peer import PeerHub, PeerSite

        return PeerSite(PeerHub.at(address, config))
    return OtherStore(existing_store(address))
