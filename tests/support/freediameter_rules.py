"""freeDiameter's own parser and rules over single messages, by way of its libraries.

Open5GS and other programs built on freeDiameter throw away an answer that breaks a rule of its
dictionaries. Called as a program of its own, because the libraries keep global state: it reads one
message per line in hexadecimal and writes ``ok`` or what freeDiameter objects to.
"""

import ctypes
import ctypes.util
import sys
from pathlib import Path

DICTIONARIES = ("dict_rfc5777", "dict_mip6i", "dict_nasreq", "dict_dcca", "dict_dcca_3gpp")
"""What Open5GS loads, in its order."""
DICTIONARY_MARK = 0xD1C7
"""What the library's dictionary begins with."""
CONFIGURATION_WORDS = 64
DICTIONARY_WORD = 32


class _Fault(ctypes.Structure):
    """struct fd_pei of libfdproto.h."""

    _fields_ = (
        ("code", ctypes.c_char_p),
        ("avp", ctypes.c_void_p),
        ("avp_is_ours", ctypes.c_int),
        ("message", ctypes.c_char_p),
        ("protocol_error", ctypes.c_int),
    )


class Rules:
    """The libraries with the dictionaries loaded."""

    def __init__(self, extensions: Path) -> None:
        self._c = ctypes.CDLL(None)
        self._c.malloc.restype = ctypes.c_void_p
        self._c.malloc.argtypes = [ctypes.c_size_t]
        self._proto, core = (_library(name) for name in ("fdproto", "fdcore"))
        if core.fd_core_initialize():
            raise OSError("freeDiameter's library does not start")
        self._dictionary = _dictionary(core)
        for name in DICTIONARIES:
            # The extensions find the dictionary through the library's globals.
            extension = ctypes.CDLL(str(extensions / f"{name}.fdx"))
            extension.fd_ext_init.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
            if extension.fd_ext_init(1, 2, None):
                raise OSError(f"{name} cannot be loaded")

    def objection(self, message: bytes) -> str:
        """Return what freeDiameter dislikes about a message; empty when it would be handed on."""
        parsed, fault = ctypes.c_void_p(), _Fault()
        place = self._c.malloc(len(message))  # owned by the library from here on
        ctypes.memmove(place, message, len(message))
        buffer = ctypes.c_void_p(place)
        length = ctypes.c_size_t(len(message))
        if self._proto.fd_msg_parse_buffer(ctypes.byref(buffer), length, ctypes.byref(parsed)):
            return "no message"
        for step in (self._proto.fd_msg_parse_dict, self._proto.fd_msg_parse_rules):
            if step(parsed, ctypes.c_void_p(self._dictionary), ctypes.byref(fault)):
                said = [text.decode() for text in (fault.code, fault.message) if text]
                return ": ".join(said) or "refused"
        return ""


def _library(name: str) -> ctypes.CDLL:
    found = ctypes.util.find_library(name)
    if found is None:
        raise OSError(f"lib{name} is not installed")
    return ctypes.CDLL(found, mode=ctypes.RTLD_GLOBAL)


def _dictionary(core: ctypes.CDLL) -> int:
    """Return the address of the dictionary, a member of the library's configuration."""
    configuration = ctypes.c_void_p.in_dll(core, "fd_g_config").value
    assert configuration is not None
    words = (ctypes.c_uint64 * CONFIGURATION_WORDS).from_address(configuration)
    address: int = words[DICTIONARY_WORD]
    if not address or ctypes.c_uint32.from_address(address).value != DICTIONARY_MARK:
        raise OSError("this freeDiameter keeps its dictionary in another place than 1.2 does")
    return address


def main() -> None:
    """Judge the messages on standard input."""
    rules = Rules(Path(sys.argv[1]))
    for line in sys.stdin:
        sys.stdout.write(f"verdict {rules.objection(bytes.fromhex(line)) or 'ok'}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
