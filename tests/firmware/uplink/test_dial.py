"""Connections that come, that do not, and that are given up: each ends in time and leaks nothing.

The dialling runs under MicroPython on a virtual board, over links with paths of their own.
"""

import asyncio
import contextlib
import datetime
import ssl
from pathlib import Path as Folder

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hil.board import FIRMWARE, VirtualBoard
from hil.paths import Path, lay
from tests.support.processes import free_port
from tests.support.throwaway import play

CLIENT = f"""
    import asyncio
    import os
    import sys
    import time

    sys.path.append({str(FIRMWARE)!r})
    import tls
    from network import LAN, WLAN
    from bridge.uplink.dial import dial, open_stream

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    async def attempt(name, port, interface, context=None, timeout_ms=500):
        try:
            stream = open_stream(await dial("10.0.0.5", port, interface, timeout_ms), context, "x")
        except asyncio.TimeoutError:
            print(name, "timeout")
            return
        except OSError as error:
            print(name, "errno", error.errno)
            return
        stream.write(b"hello")
        await stream.drain()
        print(name, await asyncio.wait_for(stream.readexactly(5), 5))
        stream.close()
        await stream.wait_closed()

    async def main():
        lan, wifi = LAN(), WLAN(WLAN.IF_STA)
        lan.active(True)
        wifi.active(True)
        wifi.connect("ward", "key")
        while not (lan.isconnected() and wifi.isconnected()):
            await asyncio.sleep_ms(20)
        before = descriptors()
        await attempt("bound", 1, "en1")
        await attempt("unbound", 1, None)
        await attempt("refused", 2, "en1")
        await attempt("swallowed", 3, "en1")
        await attempt("nowhere", 1, "xx9")
        task = asyncio.create_task(attempt("cancelled", 3, "en1"))
        await asyncio.sleep_ms(50)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            print("cancelled")
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_NONE
        await attempt("secure", 4, "en1", context, 5000)
        print("left", descriptors() - before)
        lan.active(False)
        await attempt("inactive", 1, "en1")
        print("done")

    asyncio.run(main())
"""


def server_context(folder: Folder) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "server.pem"
    path.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_every_way_to_connect_ends_with_its_own_word(tmp_path: Folder) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(await reader.read(100))
            await reader.read(100)
        writer.close()

    async def story(board: VirtualBoard) -> None:
        plain = await asyncio.start_server(echo, "127.0.0.1", 0)
        context = server_context(tmp_path)
        secure = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
        port, secure_port = (s.sockets[0].getsockname()[1] for s in (plain, secure))
        lan, wifi = Path("lan", 0.01), Path("wifi")
        try:
            for path in (lan, wifi):
                await path.add_tcp("10.0.0.5:1", port)
            await lan.add_tcp("10.0.0.5:2", free_port())
            await lan.add_tcp("10.0.0.5:4", secure_port)
            lay(board, lan, wifi)
            await board.restart()
            await board.wait_for("done", 30)
            said = {line.split()[0]: line for line in board.output}
            assert said["bound"] == said["unbound"].replace("unbound", "bound")
            assert said["bound"] == "bound b'hello'"
            # Without a binding the port takes its default route: the Wi-Fi, although wired is up.
            assert [path.proxies["tcp 10.0.0.5:1"].carried for path in (lan, wifi)] == [10, 10]
            assert said["refused"] == "refused errno 111"
            assert said["swallowed"] == "swallowed timeout"
            assert said["nowhere"] == "nowhere errno 19"
            assert said["cancelled"] == "cancelled"
            assert said["secure"] == "secure b'hello'"
            assert said["left"] == "left 0"
            assert said["inactive"].startswith("inactive errno")
        finally:
            for path in (lan, wifi):
                await path.close()
            plain.close()
            secure.close()

    play(tmp_path, CLIENT, story)
