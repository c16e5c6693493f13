"""`tls` as far as memory goes: a session takes what mbedTLS takes of RP2's heap, bytes pass."""

from hil.bench.on_micropython.whole import world

PROTOCOL_TLS_CLIENT = 0
CERT_NONE = 0
CERT_REQUIRED = 2

# MBEDTLS_SSL_IN_CONTENT_LEN 16384 and OUT 4096, each with its overhead; then the rest of the 25 KB
# that a session was seen to hold on an RP2040.
_PARTS = (16717, 4429, 1024, 1024, 1024)


class SSLContext:
    def __init__(self, protocol):
        self.verify_mode = CERT_NONE
        self._certificates = []

    def set_ciphers(self, names):
        pass

    def load_verify_locations(self, data):
        self._certificates.append(bytes(data))

    def load_cert_chain(self, certificate, key):
        self._certificates += [bytes(certificate), bytes(key)]

    def wrap_socket(self, socket, server_side=False, do_handshake_on_connect=True, **options):
        return _Session(socket)


class _Session:
    def __init__(self, socket):
        parts = _PARTS if world.order["tls_room"] is not None else ()
        self._buffers = [bytearray(size) for size in parts]
        self._socket = socket
        self.readinto = socket.readinto
        self.write = socket.write
        self.setblocking = socket.setblocking

    @property
    def waiting(self):
        return self._socket.waiting

    @waiting.setter
    def waiting(self, event):
        self._socket.waiting = event

    def close(self):
        self._buffers = None
        self._socket.close()
