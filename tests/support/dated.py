"""A site's certificates with dates of the test's choosing, and its TLS in front of a broker."""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DER, _PEM = serialization.Encoding.DER, serialization.Encoding.PEM
HOST = "127.0.0.1"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class DatedSite:
    """An authority with one certificate for both ends, all good from `begins` to `ends`."""

    def __init__(self, folder: Path, begins: dt.datetime, ends: dt.datetime) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        constraints = x509.BasicConstraints(True, None)
        made = []
        for name, public, serial in (("ward", ca_key, 1), (HOST, key, 2)):
            builder = x509.CertificateBuilder().subject_name(_name(name)).serial_number(serial)
            builder = builder.issuer_name(_name("ward")).public_key(public.public_key())
            builder = builder.not_valid_before(begins).not_valid_after(ends)
            if serial == 1:
                builder = builder.add_extension(constraints, True)
            made.append(builder.sign(ca_key, hashes.SHA256()))
        secret = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / "ca.der").write_bytes(made[0].public_bytes(_DER))
        (folder / "gateway.der").write_bytes(made[1].public_bytes(_DER))
        (folder / "key.der").write_bytes(key.private_bytes(_DER, *secret))
        (folder / "site.pem").write_bytes(made[1].public_bytes(_PEM))
        (folder / "site.key").write_bytes(key.private_bytes(_PEM, *secret))

    def copy_to_board(self, files: Path) -> None:
        """Put the gateway's part where provisioning puts it."""
        target = files / "tls" / "now"
        target.mkdir(parents=True)
        for name in ("ca.der", "gateway.der", "key.der"):
            (target / name).write_bytes((self.folder / name).read_bytes())

    @contextlib.asynccontextmanager
    async def in_front_of(self, port: int) -> AsyncIterator[int]:
        """Yield a port that speaks TLS and passes all on to a broker's port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "site.pem", self.folder / "site.key")

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(4096):
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection(HOST, port)
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

        server = await asyncio.start_server(serve, HOST, 0, ssl=context)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
