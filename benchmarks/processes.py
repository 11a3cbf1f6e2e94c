"""Processor time and resident memory of processes and their children, read from /proc."""

import os
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_OCTETS = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat behind the command's closing parenthesis (proc(5) counts from 3 there).
_PARENT, _USER, _CHILDREN_SYSTEM = 1, 11, 14


def _fields(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def cpu_seconds(pid: int, *, family: bool = False) -> float:
    """User and system time of a process and of those children that have ended.

    `family` adds the children that run, and theirs. A process that is gone counts nothing.
    """
    fields = _fields(pid)
    if fields is None:
        return 0.0
    ticks = sum(int(field) for field in fields[_USER : _CHILDREN_SYSTEM + 1])
    seconds = ticks / _TICKS_PER_SECOND
    if family:
        seconds += sum(cpu_seconds(child, family=True) for child in _children(pid))
    return seconds


def _children(pid: int) -> list[int]:
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            fields = _fields(int(entry.name))
            if fields is not None and int(fields[_PARENT]) == pid:
                found.append(int(entry.name))
    return found


def resident_octets(pid: int) -> int:
    """Resident memory of a process; 0 when it is gone."""
    try:
        pages = (_PROC / str(pid) / "statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * _PAGE_OCTETS


def family_resident_octets(pid: int) -> int:
    """Resident memory of a process and all its children together.

    What they share is counted once for each of them.
    """
    return resident_octets(pid) + sum(family_resident_octets(child) for child in _children(pid))
