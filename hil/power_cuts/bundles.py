"""Updates on a strict NOR chip with littlefs, the power cut at each operation. For MicroPython.

micropython bundles.py <folder of the firmware> <repository> <orders>

orders  a JSON file: {"old": path, "new": path, "bad": path of bundles, "ca": path, "seeds": n,
        "image": folder with the module `which` of what the image itself has}

The loader and what takes a bundle are the firmware's own. In each bundle is a module `which` with
its VERSION. A life is one boot up to the next reset or cut.
"""

import asyncio
import json
import os
import sys

import vfs

sys.path[:0] = [sys.argv[1], sys.argv[2]]

from hil.power_cuts.stand_ins import Gateway, Machine, Reset  # noqa: E402

sys.modules["machine"] = Machine  # before the firmware asks for it

import loader  # noqa: E402
from bridge.update import Update  # noqa: E402
from hil.virtual_board.nor import ERASE_SIZE, NorChip, Partition, PowerCut  # noqa: E402

_BLOCKS = 32
_PART = 576
_LIVES_MAX = 12


class Board:
    """A chip with littlefs, and what is on it.

    data  of the chip, from power-on to power-on
    """

    def __init__(self, data):
        self.data = data
        self.chip = None
        self.operations = 0

    def power_on(self):
        # A chip of its own: what is left of the life before must not write to this one.
        self.chip = NorChip(self.data, len(self.data))
        self.chip.on_operation = self._count
        vfs.mount(vfs.VfsLfs2(Partition(self.chip, 0, len(self.data))), "/")
        os.chdir("/")

    def power_off(self):
        for place in ("/app", "/"):
            try:
                vfs.umount(place)
            except OSError:
                pass  # a cut came before it was mounted
        self.chip._off = True

    def _count(self):
        self.operations += 1


def boot():
    """Start as main.py does; returns the version that runs."""
    sys.modules.pop("which", None)
    while "/app" in sys.path:
        sys.path.remove("/app")
    assert loader.start()
    return __import__("which").VERSION


def send(update, data):
    """Bring a bundle there, as host_tools/vitalkeep/remote/update.py does."""
    from binascii import b2a_base64, hexlify

    digest = hexlify(data[-96:-64]).decode()
    offer = {"do": "firmware-offer", "size": len(data), "digest": digest}
    at = update.obey(offer)["at"]
    while at < len(data):
        part = b2a_base64(data[at : at + _PART]).decode()
        at = update.obey({"do": "firmware-part", "at": at, "data": part})["at"]
    update.obey({"do": "firmware-take", "older": False})


def live(bundle, wanted, was_bad):
    """One life up to a reset or the end of the story; returns the version that holds then."""
    version = boot()
    gateway = Gateway(loader, version)
    loader.take_note()
    if version == "bad":
        raise Reset(version)  # it starts, and never comes to say that it is well
    update = Update(gateway)
    if update.on_trial:
        update.watch()
    elif version != wanted and not was_bad:
        if not update.checks:
            send(update, bundle)
        asyncio.run(update.checked())
        raise AssertionError("%s: neither refused nor switched to" % wanted)
    assert not loader.read().on_trial
    return version


def story(board, bundle, wanted, cut, seed, seen):
    """Update until that has an end; the power is cut at one operation on the way.

    wanted  the version in the bundle; "bad" is one that must be given up again
    """
    board.operations = 0
    was_bad = False
    for _ in range(_LIVES_MAX):
        board.power_on()
        if cut > board.operations:
            board.chip.cut_after(cut - board.operations, seed)
        try:
            version = live(bundle, wanted, was_bad)
            assert version == ("old" if wanted == "bad" else wanted)
            return
        except Reset as reset:
            version = reset.args[0]
        except PowerCut:
            version = "(cut)"
        finally:
            board.power_off()
        seen.add(version)
        was_bad = was_bad or version == "bad"
    raise AssertionError("cut %d, seed %d: no end in %d lives" % (cut, seed, _LIVES_MAX))


def main():
    sleep_ms = asyncio.sleep_ms
    asyncio.sleep_ms = lambda duration_ms: sleep_ms(0)  # nobody here waits for what was said
    with open(sys.argv[3]) as file:
        orders = json.load(file)
    bundles = {}
    for name in ("old", "new", "bad", "ca"):
        with open(orders[name], "rb") as file:
            bundles[name] = file.read()
    sys.path.append("/host" + orders["image"])
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix(), "/host")
    blank = Board(bytearray(b"\xff" * (_BLOCKS * ERASE_SIZE)))
    chip = NorChip(blank.data, len(blank.data))
    vfs.VfsLfs2.mkfs(Partition(chip, 0, chip.size))
    blank.power_on()
    for folder in ("bundles", "tls", "tls/now"):
        os.mkdir(folder)
    for path, data in (("bundles/a", bundles["old"]), ("tls/now/ca.der", bundles["ca"])):
        with open(path, "wb") as file:
            file.write(data)
    loader.write(loader.State("a"))
    blank.power_off()
    report = {}
    for name in ("new", "bad"):
        clean = Board(bytearray(blank.data))
        seen = set()
        story(clean, bundles[name], name, 0, 0, seen)
        operations = clean.operations
        for cut in range(1, operations + 1):
            for seed in range(orders["seeds"]):
                story(Board(bytearray(blank.data)), bundles[name], name, cut, seed, seen)
        report[name] = {"operations": operations, "seen": sorted(seen)}
    print(json.dumps(report))


main()
