"""A private key under a passphrase: PKCS#8 with scrypt (RFC 5958, RFC 8018, RFC 7914).

`openssl pkey` reads the file. Written here because the library's own writer takes PBKDF2 with
2048 rounds, which is too few for a passphrase that people can remember.
"""

from __future__ import annotations

import secrets
from base64 import b64encode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7

# 16 MB of memory, which OpenSSL's default bound still allows, and a fifth of a second.
_N, _R, _P = 1 << 14, 8, 5
_SALT_SIZE = 16
_BLOCK_SIZE = 16

_PBES2 = bytes.fromhex("2a864886f70d01050d")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_AES_256_CBC = bytes.fromhex("60864801650304012a")

_INTEGER, _OCTETS, _OID, _SEQUENCE = 0x02, 0x04, 0x06, 0x30


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content


def _sequence(*parts: bytes) -> bytes:
    return _element(_SEQUENCE, b"".join(parts))


def _integer(value: int) -> bytes:
    return _element(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def encrypt_key(key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> bytes:
    """Return the key as PEM that only the passphrase opens."""
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    salt, start = secrets.token_bytes(_SALT_SIZE), secrets.token_bytes(_BLOCK_SIZE)
    secret = Scrypt(salt=salt, length=32, n=_N, r=_R, p=_P).derive(passphrase)
    padder = PKCS7(8 * _BLOCK_SIZE).padder()
    cipher = Cipher(algorithms.AES256(secret), modes.CBC(start)).encryptor()
    sealed = cipher.update(padder.update(plain) + padder.finalize()) + cipher.finalize()
    derivation = _sequence(
        _element(_OID, _SCRYPT),
        _sequence(_element(_OCTETS, salt), _integer(_N), _integer(_R), _integer(_P)),
    )
    scheme = _sequence(_element(_OID, _AES_256_CBC), _element(_OCTETS, start))
    algorithm = _sequence(_element(_OID, _PBES2), _sequence(derivation, scheme))
    return _pem(_sequence(algorithm, _element(_OCTETS, sealed)))


def _pem(der: bytes) -> bytes:
    text = b64encode(der)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    label = b"ENCRYPTED PRIVATE KEY-----"
    return b"\n".join([b"-----BEGIN " + label, *lines, b"-----END " + label, b""])


def decrypt_key(pem: bytes, passphrase: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the key in a PEM file; raises ValueError for a wrong passphrase or a damaged file."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except TypeError as error:  # not encrypted at all
        raise ValueError(str(error)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    return key
