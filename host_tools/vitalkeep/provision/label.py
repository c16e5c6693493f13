"""A gateway's label: who it is, for people and for cameras. Nothing on it is secret."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from vitalkeep.errors import ToolError
from vitalkeep.keys.private_files import update_file

_WIDTH_MM, _HEIGHT_MM = 62, 29  # of a common roll
_QR_MM = 25

_PAGE = """\
<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" \
viewBox="0 0 {width} {height}">
<rect width="{width}" height="{height}" fill="white"/>
<svg x="2" y="2" width="{qr}" height="{qr}" viewBox="0 0 {side} {side}" \
shape-rendering="crispEdges">{path}</svg>
<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="2.6" fill="black">
{lines}
</g>
</svg>
"""


@dataclass(frozen=True)
class Label:
    """What stands on it.

    fingerprint  SHA-256 of the public key in its certificate, in hex; "" without TLS
    entry        hash of its line in the register, in hex
    """

    gateway: str
    bed: str
    board: str
    fingerprint: str
    accepted: str
    entry: str

    @property
    def urn(self) -> str:
        """Return what the QR code says."""
        more = f":sha256:{self.fingerprint}" if self.fingerprint else ""
        return f"urn:vitalkeep:gateway:{self.gateway}{more}"

    def write(self, folder: Path) -> list[Path]:
        """Write label.svg, to be printed, and label.png, the code alone; raises ToolError."""
        try:
            import segno
        except ImportError:
            raise ToolError(
                "labels need the package segno", "Run: pip install 'vitalkeep[flash]'"
            ) from None
        code = segno.make(self.urn, error="m", micro=False)
        svg, png = folder / "label.svg", folder / "label.png"
        image = io.BytesIO()
        code.save(image, kind="png", scale=8, border=4)
        update_file(svg, self._page(code).encode(), 0o644)
        update_file(png, image.getvalue(), 0o644)
        return [svg, png]

    def _page(self, code: object) -> str:
        matrix = code.matrix  # type: ignore[attr-defined]
        quiet = 2
        cells = [
            f"M{x + quiet} {y + quiet}h1v1h-1z"
            for y, row in enumerate(matrix)
            for x, dark in enumerate(row)
            if dark
        ]
        path = f'<path d="{"".join(cells)}"/>'
        words = [
            (self.bed, "bold"),
            (self.gateway, "normal"),
            (self.board, "normal"),
            *((self.fingerprint[at : at + 16], "normal") for at in range(0, 32, 16)),
            (f"{self.accepted}  {self.entry[:8]}", "normal"),
        ]
        lines = [
            f'<text x="29" y="{5 + 4 * number}" font-weight="{weight}">{escape(text)}</text>'
            for number, (text, weight) in enumerate(words)
        ]
        return _PAGE.format(
            width=_WIDTH_MM, height=_HEIGHT_MM, qr=_QR_MM, side=len(matrix) + 2 * quiet,
            path=path, lines="\n".join(lines),
        )  # fmt: skip
