"""Segments by way of tshark, for captures whose links or formats are not read here.

tshark takes the packets apart down to TCP; what TCP carried is put together here like everything
else. Used by `loading`.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import IO

from simulators.replay.findings import Findings, UnusableError
from simulators.replay.packets import Endpoint, Segment

LINE_OCTETS_MAX = 4 << 20
_FIELDS = (
    "frame.number", "frame.time_epoch", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst",
    "tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.flags", "tcp.len", "tcp.payload",
)  # fmt: skip
_FOUND_IN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"])


def find_tshark() -> Path | None:
    """Where tshark is, if it is installed."""
    found = shutil.which("tshark", path=_FOUND_IN)
    return Path(found) if found else None


def read_segments(path: Path, findings: Findings, why: str) -> Iterator[Segment]:
    """The TCP segments that tshark finds in a file; `why` says what it is needed for.

    Raises UnusableError when tshark is not installed or can do nothing with the file.
    """
    program = find_tshark()
    if program is None:
        raise UnusableError(
            f"{why}, for which tshark is needed, and it is not installed: apt install tshark"
        )
    command = [str(program), "-n", "-r", str(path), "-Y", "tcp", "-T", "fields"]
    # The innermost header is that of the tunnelled connection, where there is a tunnel.
    command += ["-E", "occurrence=l", "-o", "tcp.desegment_tcp_streams:FALSE"]
    for one in _FIELDS:
        command += ["-e", one]
    # What tshark complains about goes to a file, so that it never waits for a reader.
    with tempfile.TemporaryFile() as complaints:
        running = subprocess.Popen(  # noqa: S603 - a program found by name, no shell
            command, stdout=subprocess.PIPE, stderr=complaints
        )
        assert running.stdout is not None
        try:
            found = 0
            while line := running.stdout.readline(LINE_OCTETS_MAX):
                segment = _segment(line)
                if segment is not None:
                    found += 1
                    yield segment
            code = running.wait()
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()
            running.stdout.close()
        _judge(path, findings, code, found, complaints)


def _judge(path: Path, findings: Findings, code: int, found: int, complaints: IO[bytes]) -> None:
    if code == 0:
        return
    complaints.seek(0)
    lines = complaints.read(4096).decode(errors="replace").strip().splitlines()
    said = next((one for one in reversed(lines) if "root" not in one), f"exit code {code}")
    if not found:
        raise UnusableError(f"tshark can do nothing with {path}: {said}")
    findings.problem(f"tshark stopped in {path}: {said}")


def _segment(line: bytes) -> Segment | None:
    values = line.decode("ascii", errors="replace").rstrip("\r\n").split("\t")
    if len(values) != len(_FIELDS):
        return None
    number, at, source4, source6, target4, target6, *rest = values
    source_port, target_port, sequence, flags, length, payload = rest
    try:
        source = _endpoint(source4 or source6, source_port)
        target = _endpoint(target4 or target6, target_port)
        data = bytes.fromhex(payload.replace(":", ""))
        seconds, _, fraction = at.partition(".")
        at_ns = int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
        whole = int(length or 0)
        return Segment(
            int(number), at_ns, source, target, int(sequence), int(flags, 0) & 0xFF, data,
            max(whole - len(data), 0),
        )  # fmt: skip
    except ValueError:
        return None


def _endpoint(address: str, port: str) -> Endpoint:
    return ip_address(address).packed, int(port)
