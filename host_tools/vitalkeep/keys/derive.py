"""Every key of a gateway, derived by label from its root key (docs/formats/log.md, "Keys").

The root key stays in the vault. A board gets what these functions return, and nothing else.
"""

import struct

from bridge.core.journal.seal import epoch_key
from bridge.core.mac import hmac_sha256

ROOT_SIZE = 32
EPOCHS_MAX = 400  # the highest key epoch that a reader believes in; a rotation takes nine


def chain_key(root: bytes, gateway: bytes, log_id: bytes, cls: int) -> bytes:
    """Return chain key number 0 of one class of one log."""
    return hmac_sha256(root, b"vitalkeep chain", gateway, log_id, bytes((cls,)))


def spare_seed(root: bytes, gateway: bytes, log_id: bytes, epoch: int) -> bytes:
    """Return the one-use seed of a key epoch, 1 to EPOCHS_MAX."""
    return hmac_sha256(root, b"vitalkeep spare", gateway, log_id, struct.pack("<H", epoch))


def first_key(
    root: bytes, gateway: bytes, log_id: bytes, cls: int, epoch: int, first: int
) -> bytes:
    """Return the chain key of sector `first`, with which a class begins a key epoch.

    epoch, first  as in the sector's header; epoch 0 begins at sector 0
    """
    if epoch == 0:
        return chain_key(root, gateway, log_id, cls)
    return epoch_key(spare_seed(root, gateway, log_id, epoch), cls, first)


def uplink_key(root: bytes, gateway: bytes) -> bytes:
    """Return the key under which a gateway tags runs and heartbeats."""
    return hmac_sha256(root, b"vitalkeep uplink", gateway)


def receipt_key(root: bytes, gateway: bytes, site: bytes) -> bytes:
    """Return the key under which one site receipts to one gateway."""
    return hmac_sha256(root, b"vitalkeep receipt", gateway, site)


def command_key(root: bytes, gateway: bytes) -> bytes:
    """Return the key under which a gateway takes commands."""
    return hmac_sha256(root, b"vitalkeep command", gateway)


def archive_key(root: bytes, gateway: bytes) -> bytes:
    """Return the key under which what leaves for object storage is tagged and encrypted."""
    return hmac_sha256(root, b"vitalkeep archive", gateway)
