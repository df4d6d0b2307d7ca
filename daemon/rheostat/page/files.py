"""The files of the page: markup, style, scripts, a font; read at the start, and no others."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""What is served; licences and the like that lie beside it are not."""
_COMPRESSED = (".woff2",)


@dataclass(frozen=True, slots=True)
class File:
    """One of them."""

    kind: str
    content: bytes
    compressed: bytes | None
    """By gzip; None where that makes it no smaller."""
    tag: str
    """Another for other content."""

    def answer(self, request: web.Request) -> web.Response:
        """Return it, or that the browser has it already."""
        # Asked for at each visit, so that nobody sees the page of an older daemon.
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == self.tag:
            return web.Response(status=304, headers=headers)
        body = self.content
        if self.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            body = self.compressed
            headers["Content-Encoding"] = "gzip"
        return web.Response(
            body=body,
            headers=headers,
            content_type=self.kind,
            charset="utf-8" if self.compressed is not None else None,
        )


@cache
def read_files(folder: Path = FOLDER) -> dict[str, File]:
    """Return the files by the path that they are asked for at; `/` is `index.html`."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix not in TYPES:
            continue
        content = file.read_bytes()
        found[f"/{file.relative_to(folder).as_posix()}"] = File(
            kind=TYPES[file.suffix],
            content=content,
            compressed=None if file.suffix in _COMPRESSED else gzip.compress(content, 6),
            tag=f'"{hashlib.sha256(content).hexdigest()[:16]}"',
        )
    found["/"] = found.pop("/index.html")
    return found
