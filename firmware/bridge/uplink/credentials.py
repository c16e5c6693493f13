"""The gateway's certificate, its key and the ward's CA: files on the board, replaced in use.

    tls/now/   ca.der, gateway.der, key.der
    tls/new/   the same, once provisioning has put a successor there

A successor is tried beside what works, and takes its place at the first receipt it brings.
"""

import os

import tls
from micropython import const

from bridge.core.errors import ConfigError, FormatError
from bridge.core.x509 import validity

NOW = "now"
NEW = "new"
_OLD = "old"

# Ephemeral keys and an authenticated cipher, no other: what is recorded stays unreadable.
_CIPHERS = (
    "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
)
_DAY_S = const(86400)


class Credentials:
    """What the gateway shows to brokers, and whom it trusts.

    folder  of the board's file system
    """

    def __init__(self, folder="tls"):
        self._folder = folder
        self._finish_move()
        self._contexts = {}
        self._ends_s = {}
        for name in (NEW, NOW):
            if self._has(name):
                self._load(name)
        if not self._contexts:
            raise ConfigError("%s/%s: no certificate there; provision one" % (folder, NOW))

    def names(self):
        """Return which there are, the one to prefer first."""
        return [name for name in (NEW, NOW) if name in self._contexts]

    def context(self, name):
        """Return the tls.SSLContext of NOW or NEW."""
        return self._contexts[name]

    def proved(self, name):
        """Say that a site receipted over NEW or NOW; returns True when that replaced the old."""
        if name != NEW or NEW not in self._contexts:
            return False
        self._move(NOW, _OLD)
        self._move(NEW, NOW)
        self._contexts[NOW] = self._contexts.pop(NEW)
        self._ends_s[NOW] = self._ends_s.pop(NEW)
        return True

    def days_left(self, utc_s):
        """Return for how many days the certificate in use and its CA are both still good."""
        return (self._ends_s.get(NOW, self._ends_s.get(NEW)) - utc_s) // _DAY_S

    # --- files ---

    def _load(self, name):
        parts = []
        for file in ("ca.der", "gateway.der", "key.der"):
            with open("%s/%s/%s" % (self._folder, name, file), "rb") as stream:
                parts.append(stream.read())
        ca, certificate, key = parts
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        context.set_ciphers(list(_CIPHERS))
        try:
            context.load_verify_locations(ca)
            context.load_cert_chain(certificate, key)
            self._ends_s[name] = min(validity(ca)[1], validity(certificate)[1])
        except (ValueError, FormatError) as error:
            raise ConfigError("%s/%s: %s" % (self._folder, name, error))
        self._contexts[name] = context

    def _has(self, name):
        try:
            return "key.der" in os.listdir("%s/%s" % (self._folder, name))
        except OSError:
            return False

    def _finish_move(self):
        # Power was cut between the two renames: the successor had proved itself.
        if not self._has(NOW) and self._has(_OLD) and self._has(NEW):
            self._move(NEW, NOW)

    def _move(self, name, to):
        target = "%s/%s" % (self._folder, to)
        try:
            for file in os.listdir(target):
                os.remove("%s/%s" % (target, file))
            os.rmdir(target)
        except OSError:
            pass  # there was none
        try:
            os.rename("%s/%s" % (self._folder, name), target)
        except OSError:
            pass  # the first certificate of all came as a successor
