"""What provisioning writes into a gateway's key region: all it may ever know."""

import hashlib

from bridge.core.journal.keyring import (
    COPY_AT,
    SLOT_SIZE,
    SPARES,
    Identity,
    identity_size,
    pack_identity,
    pack_seed,
    pack_slot,
)
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from bridge.core.journal.seal import FIRST_SEAL
from vitalkeep.keys import derive

_BLANK = b"\xff" * SLOT_SIZE


def key_region(
    root: bytes, gateway: bytes, log_id: bytes, sites: list[bytes], blocks: int
) -> bytes:
    """Return the bytes of a new key region of `blocks` times 4096 bytes.

    root    32 bytes; it is not in what is returned
    sites   ids of the sites that this gateway delivers to, 8 bytes each
    blocks  3 or more; from 4 up the last holds spare seeds and a copy of the identity
    """
    region = bytearray(b"\xff" * (blocks * SECTOR_SIZE))
    data = _identity(root, gateway, log_id, sites)
    region[: len(data)] = data
    for cls in range(len(CLASSES)):
        key = derive.chain_key(root, gateway, log_id, cls)
        at = SECTOR_SIZE + cls * SLOT_SIZE
        region[at : at + SLOT_SIZE] = pack_slot(cls, 0, 0, 0, key, FIRST_SEAL)
    if blocks > 3:
        spare = (blocks - 1) * SECTOR_SIZE
        for epoch in range(1, SPARES + 1):
            at = spare + (epoch - 1) * SLOT_SIZE
            seed = derive.spare_seed(root, gateway, log_id, epoch)
            region[at : at + SLOT_SIZE] = pack_seed(epoch, seed)
        region[spare + COPY_AT : spare + COPY_AT + len(data)] = data
    return bytes(region)


def _identity(root: bytes, gateway: bytes, log_id: bytes, sites: list[bytes]) -> bytes:
    identity = Identity(
        gateway,
        log_id,
        derive.uplink_key(root, gateway),
        derive.command_key(root, gateway),
        [(site, derive.receipt_key(root, gateway, site)) for site in sites],
    )
    return bytes(pack_identity(identity))


def pieces_of(region: bytes) -> list[tuple[int, int, bytes]]:
    """Return what is to be programmed of a new region: (block, offset, bytes), in order.

    Slots and seeds come first, the identity then and its copy last: a region that was cut short
    names no gateway.
    """
    last = len(region) // SECTOR_SIZE - 1
    found = []
    for at in range(SECTOR_SIZE, len(region), SLOT_SIZE):
        block, offset = divmod(at, SECTOR_SIZE)
        piece = region[at : at + SLOT_SIZE]
        is_copy = block == last and last > 2 and offset >= COPY_AT
        if piece != _BLANK and not is_copy:
            found.append((block, offset, piece))
    return found + identity_pieces(region)


def identity_pieces(region: bytes) -> list[tuple[int, int, bytes]]:
    """Return where the identity of a region stands, and its copy, if it has one."""
    last = len(region) // SECTOR_SIZE - 1
    found = [(0, 0, region[: identity_size()])]
    if last > 2:
        at = last * SECTOR_SIZE + COPY_AT
        found.append((last, COPY_AT, region[at : at + identity_size()]))
    return found


def identity_hash(root: bytes, gateway: bytes, log_id: bytes, sites: list[bytes]) -> str:
    """Return the SHA-256, in hex, of the identity that a board with these keys has."""
    return hashlib.sha256(_identity(root, gateway, log_id, sites)).hexdigest()


def spare_seeds(root: bytes, gateway: bytes, log_id: bytes, after: int) -> list[tuple[int, bytes]]:
    """Return the seeds of the epochs after one, as many as a board keeps: (offset, bytes)."""
    return [
        (
            number * SLOT_SIZE,
            bytes(pack_seed(epoch, derive.spare_seed(root, gateway, log_id, epoch))),
        )
        for number, epoch in enumerate(range(after + 1, after + 1 + SPARES))
    ]
