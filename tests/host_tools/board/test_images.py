"""No image without a hash: files, pinned downloads, and what is refused beforehand."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.images import esp32_firmware, rp2_firmware, sha256
from vitalkeep.board.errors import BoardError
from vitalkeep.board.images import get_image, read_pins
from vitalkeep.board.kinds import find_kind
from vitalkeep.errors import ToolError

ESP32 = find_kind("ESP32_GENERIC")
DATA = esp32_firmware(frozen=False, size=2000)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Serve tmp_path/www on this computer."""
    (tmp_path / "www").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refused(cause: str, text: str, *arguments: object) -> None:
    with pytest.raises(BoardError, match=text) as caught:
        get_image(*arguments)  # type: ignore[arg-type]
    assert caught.value.cause == cause


def test_a_file_is_taken_with_its_hash_alone(tmp_path: Path) -> None:
    path = tmp_path / "firmware.bin"
    path.write_bytes(DATA)
    refused("unchecked", "nobody said", ESP32, path, "", None, tmp_path)
    refused("hash-mismatch", f"want {'0' * 64}", ESP32, path, "0" * 64, None, tmp_path)
    image = get_image(ESP32, path, sha256(DATA).upper(), None, tmp_path)
    assert image is not None
    assert (image.data, image.has_firmware) == (DATA, False)
    pins = tmp_path / "images.txt"
    pins.write_text(f"OTHER {'1' * 64} x\nESP32_GENERIC {sha256(DATA)} elsewhere.bin\n")
    assert get_image(ESP32, path, "", pins, tmp_path) == image
    assert get_image(find_kind("RPI_PICO_W"), None, "", pins, tmp_path) is None


def test_a_pinned_download_is_checked_and_kept(tmp_path: Path, served: str) -> None:
    (tmp_path / "www" / "v1.bin").write_bytes(DATA)
    pins = tmp_path / "images.txt"
    pins.write_text(f"# pins\nESP32_GENERIC {sha256(DATA)} {served}/v1.bin  # 1.29\n")
    cache = tmp_path / "cache"
    image = get_image(ESP32, None, "", pins, cache)
    assert image is not None
    assert image.name == "v1.bin"
    (tmp_path / "www" / "v1.bin").write_bytes(b"replaced")
    assert get_image(ESP32, None, "", pins, cache) == image  # from the cache
    (cache / sha256(DATA)).write_bytes(b"damaged")
    refused("hash-mismatch", "SHA-256", ESP32, None, "", pins, cache)
    (tmp_path / "www" / "v1.bin").unlink()
    refused("download", "404", ESP32, None, "", pins, cache)
    pins.write_text(f"ESP32_GENERIC {sha256(DATA)} http://127.0.0.1:9/v1.bin\n")
    refused("download", "127.0.0.1:9", ESP32, None, "", pins, cache)
    pins.write_text(f"ESP32_GENERIC {sha256(DATA)} beside.bin\n")
    (tmp_path / "beside.bin").write_bytes(DATA)
    assert get_image(ESP32, None, "", pins, cache) is not None


def test_a_wrong_list_says_its_line(tmp_path: Path) -> None:
    pins = tmp_path / "images.txt"
    pins.write_text("# fine\n\nESP32_GENERIC 12 x\n")
    with pytest.raises(ToolError, match=r"images\.txt:3: want a board"):
        read_pins(pins)


def check(name: str, data: bytes, tmp_path: Path) -> object:
    path = tmp_path / "image"
    path.write_bytes(data)
    return get_image(find_kind(name), path, sha256(data), None, tmp_path)


def wrong(name: str, data: bytes, tmp_path: Path, text: str, cause: str = "wrong-image") -> None:
    with pytest.raises(BoardError, match=text) as caught:
        check(name, data, tmp_path)
    assert caught.value.cause == cause


def test_images_for_other_boards_are_refused(tmp_path: Path) -> None:
    s3 = esp32_firmware(9, frozen=False, size=2000)
    wrong("ESP32_GENERIC", s3, tmp_path, "not a whole image")  # it begins elsewhere
    wrong("ESP32_GENERIC_S3", DATA, tmp_path, "not a whole image")
    wrong("ESP32_GENERIC", DATA[:0x7000], tmp_path, "not a whole image")
    wrong("ESP32_GENERIC", DATA[0xF000:], tmp_path, "not a whole image")
    other = bytearray(DATA)
    other[12] = 5
    wrong("ESP32_GENERIC", bytes(other), tmp_path, "for chip 5, and ESP32_GENERIC has chip 0")
    large = DATA + bytes(0x1F0000)
    wrong("ESP32_GENERIC", large, tmp_path, "room for 2031616")
    assert check("ESP32_GENERIC_S3", s3, tmp_path)
    pico = rp2_firmware(0xE48BFF56, frozen=False, size=2000)
    wrong("RPI_PICO2_W", pico, tmp_path, "for RP2040, and RPI_PICO2_W is an rp2350")
    wrong("RPI_PICO_W", pico[:-512], tmp_path, "blocks are missing")
    long = rp2_firmware(0xE48BFF56, frozen=False, size=1408 << 10)
    wrong("RPI_PICO_W", long, tmp_path, "and files begin at 1441792")


def test_an_image_that_would_format_the_log_is_refused(tmp_path: Path) -> None:
    stock = rp2_firmware(0xE48BFF59, frozen=False, size=2000)
    wrong("RPI_PICO2_W", stock, tmp_path, "would format the log", "stock-image")
    own = rp2_firmware(0xE48BFF59, frozen=True, size=2000)
    assert check("RPI_PICO2_W", own, tmp_path)
    # On a board whose log is on a chip of its own, the stock image does no harm.
    assert check("RPI_PICO_W", rp2_firmware(0xE48BFF56, frozen=False, size=2000), tmp_path)
