"""AES-256 in ECB mode for the core, which makes counter mode of it, as `cryptolib` on boards."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Aes256:
    """One key; `encrypt` takes a whole number of 16-byte blocks and a buffer for the result."""

    def __init__(self, key: bytes) -> None:
        # ECB is a building block here: the core makes counter mode of it, one block one use.
        self._update = Cipher(algorithms.AES256(bytes(key)), modes.ECB()).encryptor().update

    def encrypt(self, blocks: bytes, out: bytearray) -> None:
        out[:] = self._update(bytes(blocks))
