"""What a vault's secrets are enciphered with: AES-256-GCM under a passphrase or a token's key.

Its parameters stand in the file beside what it keeps:

    {"kind": "passphrase", "salt": hex, "n": 16384, "r": 8, "p": 5}        scrypt, RFC 7914
    {"kind": "token", "uri": "pkcs11:...", "point": hex}                   ECDH, then HKDF

`point` is the public half of a key made for this lock whose private half was thrown away: only the
token's key can agree with it again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from vitalkeep.errors import ToolError
from vitalkeep.keys import token
from vitalkeep.keys.passphrase import check_passphrase, read_secret

_N, _R, _P = 1 << 14, 8, 5
_SALT_SIZE = 16
_NONCE_SIZE = 12
_KEY_SIZE = 32
_INFO = b"vitalkeep vault"
_MEMORY_MAX = 1 << 26  # of scrypt, bytes: a file must not choose more

Ask = Callable[[str], bytes]  # from a lock's kind to the passphrase or PIN


@dataclass(frozen=True)
class Lock:
    """An open lock.

    kind     "passphrase" or "token"
    details  its other parameters, which are no secret
    """

    kind: str
    details: Mapping[str, Any]
    key: bytes = field(repr=False)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.details}

    def seal(self, data: bytes, bound: bytes) -> dict[str, str]:
        """Return data enciphered; `bound` must be given again to open it."""
        nonce = secrets.token_bytes(_NONCE_SIZE)
        return {"nonce": nonce.hex(), "data": AESGCM(self.key).encrypt(nonce, data, bound).hex()}

    def open(self, sealed: Mapping[str, str], bound: bytes) -> bytes:
        """Return what was sealed; raises ToolError for another key, or changed bytes."""
        nonce, data = bytes.fromhex(sealed["nonce"]), bytes.fromhex(sealed["data"])
        try:
            return AESGCM(self.key).decrypt(nonce, data, bound)
        except InvalidTag:
            raise ToolError(
                f"the vault does not open with this {self.kind}, or it was changed",
                "Try again, or restore it from its copy.",
            ) from None


def passphrase_lock(passphrase: bytes) -> Lock:
    """Return a new lock; raises ToolError for a short passphrase."""
    check_passphrase(passphrase)
    salt = secrets.token_bytes(_SALT_SIZE)
    details = {"salt": salt.hex(), "n": _N, "r": _R, "p": _P}
    return Lock("passphrase", details, _stretched(passphrase, salt, _N, _R, _P))


def token_lock(at: token.Address, pin: bytes, new: bool = False) -> Lock:
    """Return a new lock for a key in a token, making that key if `new`; raises ToolError."""
    key = (token.make_key if new else token.open_key)(at, pin)
    passing = ec.generate_private_key(ec.SECP256R1())
    point = token.point_of(passing.public_key())
    details = {"uri": str(at), "point": point.hex()}
    return Lock("token", details, _agreed(passing.exchange(ec.ECDH(), key.public_key()), point))


def open_lock(parameters: Mapping[str, Any], ask: Ask) -> Lock:
    """Return the lock with these parameters, for which a secret is asked.

    Raises  ToolError for a wrong PIN; a wrong passphrase shows when something is opened
            KeyError, TypeError or ValueError for parameters that no lock has
    """
    details = dict(parameters)
    kind = details.pop("kind")
    if kind == "passphrase":
        salt = bytes.fromhex(details["salt"])
        n, r, p = details["n"], details["r"], details["p"]
        if 128 * n * r > _MEMORY_MAX:
            raise ValueError("scrypt's parameters ask for too much")
        return Lock(kind, details, _stretched(ask(kind), salt, n, r, p))
    if kind == "token":
        at = token.Address.parse(details["uri"])
        point = bytes.fromhex(details["point"])
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        shared = token.open_key(at, ask(kind)).exchange(ec.ECDH(), public)
        return Lock(kind, details, _agreed(shared, point))
    raise ValueError(f"a lock of kind {kind!r}")


def ask_for_secret(kind: str) -> bytes:
    """Return what opens a vault: from the environment, or typed; raises ToolError."""
    if kind == "token":
        return read_secret("PIN of the vault's token", "VITALKEEP_TOKEN_PIN")
    return read_secret("passphrase of the vault", "VITALKEEP_VAULT_PASSPHRASE")


def _stretched(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=_KEY_SIZE, n=n, r=r, p=p).derive(passphrase)


def _agreed(shared: bytes, point: bytes) -> bytes:
    return HKDF(hashes.SHA256(), _KEY_SIZE, salt=point, info=_INFO).derive(shared)
