"""Which certificate the sessions of one site show, and what their ends say of it.

A successor is tried by one session at a time. It stays when it brings a receipt, and whoever shows
it goes back to what works when it does not.
"""

from bridge.core.errors import RefusedError
from bridge.uplink.session import CONNECT


class Shown:
    """The certificates of one site's sessions, one after the other; for a site with TLS.

    gateway  has credentials, clock, counters, tls_room, notice_certificate(text)
    wait_ms  without a receipt for so long, a certificate on trial has failed
    """

    def __init__(self, gateway, wait_ms):
        self._gateway = gateway
        self._credentials = gateway.credentials
        self._clock = gateway.clock
        self._wait_ms = wait_ms
        self._certificate = None  # of this session
        self._chosen = None  # for the next one already
        self._context = None  # of this session, in its room
        self._began_ms = 0

    def context(self):
        """Return the context of a new session; raises ConfigError while there is none."""
        self._began_ms = self._clock.mono_ms()
        chosen, self._certificate, self._chosen = self._chosen, None, None
        self._certificate = chosen or self._credentials.choose(self._began_ms)
        self._context = self._gateway.tls_room.around(self._certificate.context)
        return self._context

    def stays(self, up):
        """Say whether the session goes on; when it does not, another certificate is next.

        Raises RefusedError when a certificate on trial brings no receipts.
        """
        now_ms = self._clock.mono_ms()
        if not up:
            # The broker may have let it in and drop all it sends (MQTT 3.1.1 acknowledges that).
            late = now_ms - self._began_ms > self._wait_ms
            if late and not self._credentials.may_stay(self._certificate):
                raise RefusedError("no receipts over this certificate")
            return True
        chosen = self._credentials.choose(now_ms)
        if chosen is self._certificate:
            return True
        self._chosen = chosen
        return False

    def receipted(self):
        """Take the news that the site receipts."""
        if self._certificate and self._credentials.proved(self._certificate):
            self._gateway.notice_certificate("the new certificate works")

    def broke(self, stage, fault, up):
        """Say what the end of a session tells of a certificate that was on trial in it."""
        if self._certificate is None:
            return
        trial = self._credentials.is_on_trial(self._certificate)
        if trial and stage != CONNECT:
            self._gateway.counters.add("certificate_failed")
            self._gateway.notice_certificate("the new certificate failed: " + fault)
        elif trial or (stage != CONNECT and not up):
            # Not shown to anyone yet; or the one in use gets nowhere, and they take turns.
            self._credentials.try_successor()

    def end(self):
        """Give the room of a session back, once its stream is closed."""
        context, self._context = self._context, None
        if context:
            context.close()
