"""What provisioning writes into a gateway's key region: all it may ever know."""

from bridge.core.journal.keyring import (
    COPY_AT,
    SLOT_SIZE,
    SPARES,
    Identity,
    pack_identity,
    pack_seed,
    pack_slot,
)
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from bridge.core.journal.seal import FIRST_SEAL
from vitalkeep.keys import derive


def key_region(
    root: bytes, gateway: bytes, log_id: bytes, sites: list[bytes], blocks: int
) -> bytes:
    """Return the bytes of a new key region of `blocks` times 4096 bytes.

    root    32 bytes; it is not in what is returned
    sites   ids of the sites that this gateway delivers to, 8 bytes each
    blocks  3 or more; from 4 up the last holds spare seeds and a copy of the identity
    """
    identity = Identity(
        gateway,
        log_id,
        derive.uplink_key(root, gateway),
        derive.command_key(root, gateway),
        [(site, derive.receipt_key(root, gateway, site)) for site in sites],
    )
    region = bytearray(b"\xff" * (blocks * SECTOR_SIZE))
    data = pack_identity(identity)
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
