"""A stand-in for AES that takes the heap of the real object and enciphers nothing."""

_CONTEXT = 288  # bytes: mbedTLS' mbedtls_aes_context (2.28: 280) behind the object's head


class aes:
    """AES in ECB mode as far as memory goes: the same bytes in and out, but for a mask."""

    def __init__(self, key, mode):
        self._context = bytearray(_CONTEXT)
        self._key = key[0]

    def encrypt(self, block, out):
        for index in range(len(block)):
            out[index] = block[index] ^ self._key
