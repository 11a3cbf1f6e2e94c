"""A page opened in headless Chromium: its DOM, its console, whom it asked, how it looks."""

import json
import re
import struct
import subprocess
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--disable-dev-shm-usage", "--mute-audio"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_TIMEOUT_SECONDS = 120
_ITS_OWN = (".google.com", ".googleapis.com")
"""Whom Chromium asks by itself, in vain, whatever it is told and whichever page is open."""
_CONSOLE = re.compile(r"CONSOLE[:(\]][^\n]*")


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of a page."""

    dom: str
    console: list[str]
    asked: list[str]
    """Addresses other than files that were asked for."""


def open_page(chromium: Path, page: Path, scratch: Path) -> Opened:
    """Open a file; `scratch` takes Chromium's own files."""
    net_log = scratch / "net.json"
    done = _run(
        chromium, page, scratch, "--dump-dom", "--enable-logging=stderr", f"--log-net-log={net_log}"
    )
    return Opened(done.stdout, _CONSOLE.findall(done.stderr), _addresses(net_log))


def colours(chromium: Path, page: Path, scratch: Path, *, dark: bool = False) -> list[Counter[str]]:
    """The colours of the page's pixels, as #rrggbb, row by row."""
    picture = scratch / "page.png"
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    _run(chromium, page, scratch, f"--screenshot={picture}", "--window-size=500,1500", scheme)
    return _rows(picture.read_bytes())


def _run(
    chromium: Path, page: Path, scratch: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    profile = f"--user-data-dir={scratch / 'profile'}"
    done = subprocess.run(
        [chromium, *_QUIET, profile, *options, page.as_uri()],
        capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def _addresses(net_log: Path) -> list[str]:
    """The addresses in a log of Chromium's network, in order."""
    text = net_log.read_text(encoding="utf-8")
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:  # its end is written when the browser takes its time to leave
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    urls = (event.get("params", {}).get("url", "") for event in events)
    asked = [url for url in urls if url.startswith(("http:", "https:", "ws:", "wss:", "ftp:"))]
    return [url for url in asked if not (urlsplit(url).hostname or "").endswith(_ITS_OWN)]


def _rows(picture: bytes) -> list[Counter[str]]:
    """The pixels of a PNG with eight bits a channel that is not interlaced."""
    position, data, width, channels = 8, b"", 0, 3
    while position < len(picture):
        length, kind = struct.unpack_from(">I4s", picture, position)
        body = picture[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            width, _, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert (bits, interlaced) == (8, 0)
            channels = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            data += body
        position += length + 12
    raw = zlib.decompress(data)
    stride = width * channels
    before, rows = bytes(stride), []
    for start in range(0, len(raw), stride + 1):
        packed = bytearray(raw[start + 1 : start + 1 + stride])
        line = _unfiltered(raw[start], packed, before, channels)
        rows.append(Counter(f"#{line[i : i + 3].hex()}" for i in range(0, stride, channels)))
        before = bytes(line)
    return rows


def _unfiltered(kind: int, line: bytearray, above: bytes, step: int) -> bytearray:
    for index in range(len(line)):
        left = line[index - step] if index >= step else 0
        corner = above[index - step] if index >= step else 0
        guess = (0, left, above[index], (left + above[index]) // 2, 0)[kind]
        if kind == 4:
            start = left + above[index] - corner
            guess = min((left, above[index], corner), key=lambda one: abs(start - one))
        line[index] = line[index] + guess & 0xFF
    return line
