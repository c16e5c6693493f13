"""The gateway's certificate, its key and the ward's CA: files on the board, replaced in use.

    tls/now/   ca.der, gateway.der, key.der
    tls/new/   the same, once provisioning has put a successor there; key.der comes last

A successor is noticed within seconds. One session at a time tries it, and goes back to what
works when it brings no receipts; it takes the other's place at the first receipt it brings.
"""

import hashlib
import os

import tls
from micropython import const

from bridge.core.errors import ConfigError, FormatError
from bridge.core.x509 import validity

WARN_DAYS = const(28)  # a certificate's end is said that long before

_NOW = "now"
_NEW = "new"
_OLD = "old"  # what was replaced, between two renames
_FILES = ("ca.der", "gateway.der", "key.der")

# Ephemeral keys and an authenticated cipher, no other: what is recorded stays unreadable.
_CIPHERS = (
    "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
)
_DAY_S = const(86400)
_LOOK_MS = const(5000)
_AGAIN_MS = const(3600000)  # after a successor failed


class Certificate:
    """A certificate with its key and CA, ready for use.

    context  tls.SSLContext, made once: each takes kilobytes
    ends_s   when it or its CA ends, seconds since 1970 UTC
    """

    def __init__(self, digest, context, ends_s):
        self.digest = digest  # of the files
        self.context = context
        self.ends_s = ends_s


class Credentials:
    """What the gateway shows to brokers, and whom it trusts.

    folder  of the board's file system
    """

    def __init__(self, folder="tls"):
        self._folder = folder
        self._finish_move()
        self._now = None
        self._new = None
        self._bad = {}  # digests of what does not load, by name
        self._fault = None  # what the log should say of that
        self._said_days = None
        self._look_ms = 0
        self._try_ms = 0
        self._look()
        if self._now is None and self._new is None and self._fault is None:
            self._fault = "%s/%s: no certificate there; provision one" % (folder, _NOW)

    # --- for sessions ---

    def choose(self, now_ms):
        """Return the Certificate for a session; raises ConfigError while there is none.

        A successor is given to one caller, and not again for an hour.
        """
        if self._new is not None and (self._now is None or now_ms >= self._try_ms):
            self._try_ms = now_ms + _AGAIN_MS
            return self._new
        if self._now is None:
            raise ConfigError("%s/%s: no certificate; provision one" % (self._folder, _NOW))
        return self._now

    def in_use(self):
        """Return the Certificate that sessions show, None while there is none."""
        return self._now or self._new

    def is_on_trial(self, certificate):
        """Say whether it is the successor of one that is proved."""
        return certificate is self._new and self._now is not None

    def may_stay(self, certificate):
        """Say whether a session is to go on with it while it brings no receipts."""
        return certificate is self._now or self._now is None

    def try_successor(self):
        """Have `choose` return a successor next, if there is one."""
        self._try_ms = 0

    def proved(self, certificate):
        """Say that a site receipted over a certificate; returns True when it replaced another."""
        if self._new is None or certificate is not self._new:
            return False
        self._now, self._new = self._new, None
        self._said_days = None
        self._move(_NOW, _OLD)
        self._move(_NEW, _NOW)
        self._clear(_OLD)
        return True

    # --- for the log ---

    def watch(self, now_ms, utc_ms):
        """Look for a successor now and then; returns what the log should say, or None.

        utc_ms  0 while nobody knows
        """
        if now_ms >= self._look_ms:
            self._look_ms = now_ms + _LOOK_MS
            self._look()
        text, self._fault = self._fault, None
        days = self.days_left(utc_ms)
        if text is None and days is not None and days <= WARN_DAYS and days != self._said_days:
            self._said_days = days
            text = "ends in %d days" % days if days >= 0 else "has ended"
        return text

    def days_left(self, utc_ms):
        """Return for how many days the certificate in use and its CA are both still good.

        None when the time or the certificate is missing.
        """
        certificate = self.in_use()
        if not utc_ms or certificate is None:
            return None
        return (certificate.ends_s - utc_ms // 1000) // _DAY_S

    # --- files ---

    def _look(self):
        if self._now is None:
            self._now = self._load(_NOW, None)
        found = self._load(_NEW, self._new)
        if found is not self._new:
            self._new = found
            self._try_ms = 0

    def _load(self, name, known):
        """Return the Certificate in a folder, `known` when it is that one, None for none.

        What does not load is said once.
        """
        if not self._has(name):
            return None
        digest = hashlib.sha256()
        parts = []
        try:
            for file in _FILES:
                with open("%s/%s/%s" % (self._folder, name, file), "rb") as stream:
                    parts.append(stream.read())
                digest.update(parts[-1])
        except OSError:
            return None  # on its way: provisioning writes one file after the other
        digest = digest.digest()
        if known is not None and digest == known.digest:
            return known
        if digest == self._bad.get(name):
            return None
        ca, certificate, key = parts
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        context.set_ciphers(list(_CIPHERS))
        try:
            context.load_verify_locations(ca)
            context.load_cert_chain(certificate, key)
            return Certificate(digest, context, min(validity(ca)[1], validity(certificate)[1]))
        except (ValueError, FormatError) as error:
            self._bad[name] = digest
            self._fault = "%s/%s does not load: %s" % (self._folder, name, error)
            return None

    def _has(self, name):
        try:
            return _FILES[-1] in os.listdir("%s/%s" % (self._folder, name))
        except OSError:
            return False

    def _finish_move(self):
        # Power was cut between the two renames: the successor had proved itself.
        if not self._has(_NOW):
            for name in (_NEW, _OLD):
                if self._has(_OLD) and self._has(name):
                    self._move(name, _NOW)
                    break
        if self._has(_NOW):
            self._clear(_OLD)

    def _move(self, name, to):
        self._clear(to)
        try:
            os.rename("%s/%s" % (self._folder, name), "%s/%s" % (self._folder, to))
        except OSError:
            pass  # the first certificate of all came as a successor

    def _clear(self, name):
        folder = "%s/%s" % (self._folder, name)
        try:
            for file in os.listdir(folder):
                os.remove("%s/%s" % (folder, file))
            os.rmdir(folder)
        except OSError:
            pass  # there was none
