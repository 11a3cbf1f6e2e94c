"""Recorded requests as they are sent now: other hosts, realms, sessions, subscribers, times.

Everything that no rule is about stays octet for octet, also what is broken. Pure; used by
`conversations` for each request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from protocol import codec, datatypes
from protocol.codec import FLAG_RETRANSMIT, HEADER_SIZE, iter_avps, read_header
from protocol.dictionary import AvpType, lookup
from protocol.errors import ProtocolError, RemoteProtocolError
from simulators.replay.rules import Rewrite, Rules

_USER_NAME, _SESSION_ID, _ORIGIN_HOST, _ORIGIN_REALM = 1, 263, 264, 296
_DESTINATION_HOST, _DESTINATION_REALM = 293, 283
_ORIGIN_STATE_ID, _ROUTE_RECORD, _PROXY_INFO = 278, 282, 284
_SUBSCRIPTION_ID, _SUBSCRIPTION_TYPE, _SUBSCRIPTION_DATA = 443, 450, 444
_IDENTITY_TYPES = ("msisdn", "imsi", "sip", "nai", "private")
_EXTENSION_FIRST = 660
"""Subscription-Id-E164; the other types follow (RFC 8506 section 8.59)."""
_FORMS = ("", "+", "tel:", "tel:+", "sip:", "sip:+")
"""How an identity is written elsewhere in a request."""
_DEPTH_MAX = 8
_TEXTS = frozenset({AvpType.UTF8_STRING, AvpType.IDENTITY})


@dataclass(frozen=True, slots=True)
class Moment:
    """What only the instant of sending knows; `shift_ns` is how much later it is than it was."""

    server_host: str
    server_realm: str
    origin_state_id: int
    end_to_end: int
    shift_ns: int


def first_match(rules: tuple[Rewrite, ...], text: str) -> str:
    """The text as the first rule that matches makes it, else as it was."""
    for rule in rules:
        new = rule.apply(text)
        if new is not None:
            return new
    return text


class Rewriter:
    """Applies the rules of a run that began at `unix_seconds`."""

    def __init__(self, rules: Rules, unix_seconds: int) -> None:
        self.rules = rules
        self.unix_seconds = unix_seconds
        self._host = lru_cache(maxsize=4096)(self._new_host)
        self._identity = lru_cache(maxsize=65_536)(self._new_identity)

    def origin_host(self, recorded: str) -> str:
        """Who a client is in this run."""
        return self._host(recorded)

    def session_id(self, recorded: str, origin_host: str, ordinal: int) -> str:
        """The id of a session in this run; `ordinal` counts its sessions (RFC 6733 section 8.8)."""
        how = self.rules.session_id
        if how == "keep":
            return recorded
        if how == "fresh":
            return f"{origin_host};{self.unix_seconds};{ordinal}"
        assert isinstance(how, tuple)
        return first_match(how, recorded)

    def identity(self, kind: int, text: str) -> str:
        """An identity by the number of its type; -1 when that is not known."""
        return self._identity(kind, text)

    def rewrite(self, message: bytes, session_id: str, moment: Moment) -> bytes:
        """The request to send instead; its hop-by-hop id is left 0 for the connection."""
        header = read_header(message)
        avps = _Rewriting(self, session_id, moment, message).avps()
        return codec.encode_message(
            header.command_code,
            header.application_id,
            header.flags & ~FLAG_RETRANSMIT,
            0,
            moment.end_to_end,
            avps,
        )

    def _new_host(self, recorded: str) -> str:
        return first_match(self.rules.origin_host, recorded)

    def _new_identity(self, kind: int, text: str) -> str:
        name = _IDENTITY_TYPES[kind] if 0 <= kind < len(_IDENTITY_TYPES) else None
        for rule in self.rules.subscriber:
            if rule.type is None or rule.type == name or name is None:
                new = rule.apply(text)
                if new is not None:
                    return new
        return text


class _Rewriting:
    """One message on its way through the rules."""

    def __init__(self, owner: Rewriter, session_id: str, moment: Moment, message: bytes) -> None:
        self._owner = owner
        self._moment = moment
        self._message = message
        self._session_id = session_id.encode()
        self._renamed: dict[bytes, bytes] = {}
        rules = owner.rules
        self._top: dict[int, Callable[[bytes], bytes | None]] = {
            _SESSION_ID: lambda _: self._session_id,
            _ORIGIN_HOST: lambda old: _as_text(old, owner.origin_host),
            _ORIGIN_REALM: lambda old: _as_text(
                old, lambda text: first_match(rules.origin_realm, text)
            ),
            _DESTINATION_HOST: self._destination_host,
            _DESTINATION_REALM: self._destination_realm,
            _ORIGIN_STATE_ID: lambda _: datatypes.pack_u32(moment.origin_state_id),
            _ROUTE_RECORD: lambda _: None,
            _USER_NAME: lambda old: _as_text(old, lambda text: owner.identity(-1, text)),
        }
        if rules.proxy_info == "drop":
            self._top[_PROXY_INFO] = lambda _: None

    def avps(self) -> bytes:
        """All AVPs of the new message."""
        if self._owner.rules.subscriber:
            self._collect(HEADER_SIZE, len(self._message), 1)
        made = self._walk(HEADER_SIZE, len(self._message), 1)
        if self._owner.rules.agent is not None:
            host = self._owner.origin_host(origin_host_of(self._message))
            made += codec.encode_utf8(_ROUTE_RECORD, host)
        return made

    def _collect(self, start: int, end: int, depth: int) -> None:
        """Find out which identities get another name, wherever they stand."""
        try:
            for code, vendor, _, inside, stop in iter_avps(self._message, start, end):
                if vendor == 0 and code == _SUBSCRIPTION_ID:
                    self._subscription_id(inside, stop)
                elif depth < _DEPTH_MAX and _is_group(vendor, code):
                    self._collect(inside, stop, depth + 1)
                elif vendor == 0 and 0 <= code - _EXTENSION_FIRST < len(_IDENTITY_TYPES):
                    self._rename(code - _EXTENSION_FIRST, self._message[inside:stop])
        except RemoteProtocolError:
            return

    def _subscription_id(self, start: int, end: int) -> None:
        kind, data = -1, b""
        for code, vendor, _, inside, stop in iter_avps(self._message, start, end):
            if vendor == 0 and code == _SUBSCRIPTION_TYPE and stop - inside == 4:
                kind = datatypes.unpack_i32(self._message[inside:stop])
            elif vendor == 0 and code == _SUBSCRIPTION_DATA:
                data = self._message[inside:stop]
        self._rename(kind, data)

    def _rename(self, kind: int, data: bytes) -> None:
        try:
            old = data.decode()
        except UnicodeDecodeError:
            return
        new = self._owner.identity(kind, old)
        if new == old:
            return
        for form in _FORMS:
            self._renamed.setdefault((form + old).encode(), (form + new).encode())
        self._renamed.setdefault(old.lstrip("+").encode(), new.lstrip("+").encode())

    def _walk(self, start: int, end: int, depth: int) -> bytes:
        parts: list[bytes] = []
        position = start
        data = self._message
        try:
            for code, vendor, flags, inside, stop in iter_avps(data, start, end):
                following = min(stop + 3 & -4, end)
                parts.append(
                    self._avp(code, vendor, flags, data[position:following], inside, stop, depth)
                )
                position = following
        except RemoteProtocolError:
            parts.append(data[position:end])  # what is broken is asked as broken as it was
        return b"".join(parts)

    def _avp(
        self, code: int, vendor: int, flags: int, whole: bytes, start: int, stop: int, depth: int
    ) -> bytes:
        old = self._message[start:stop]
        change = self._top.get(code) if vendor == 0 and depth == 1 else None
        if change is not None:
            changed = change(old)
            if changed is None:
                return b""
            new = changed
        else:
            new = self._inner(code, vendor, old, start, stop, depth)
        return whole if new == old else codec.encode_avp(code, new, vendor, flags)

    def _inner(
        self, code: int, vendor: int, old: bytes, start: int, stop: int, depth: int
    ) -> bytes:
        known = lookup(vendor, code)
        if known is None or (vendor == 0 and code == _PROXY_INFO):
            return old
        if known.type is AvpType.GROUPED:
            return self._walk(start, stop, depth + 1) if depth < _DEPTH_MAX else old
        if known.type is AvpType.TIME:
            return self._moved(old)
        if known.type in _TEXTS and self._renamed:
            return self._renamed.get(old, old)
        return old

    def _moved(self, old: bytes) -> bytes:
        if self._owner.rules.timestamps == "keep" or len(old) != 4:
            return old
        try:
            return datatypes.unix_ns_to_time(datatypes.time_to_unix_ns(old) + self._moment.shift_ns)
        except (ProtocolError, ValueError):
            return old

    def _destination_host(self, old: bytes) -> bytes | None:
        how = self._owner.rules.destination_host
        if how == "drop":
            return None
        return self._destination(old, how, self._moment.server_host)

    def _destination_realm(self, old: bytes) -> bytes:
        return self._destination(
            old, self._owner.rules.destination_realm, self._moment.server_realm
        )

    @staticmethod
    def _destination(old: bytes, how: str | tuple[Rewrite, ...], server: str) -> bytes:
        if how == "server":
            return server.encode()
        if isinstance(how, tuple):
            return _as_text(old, lambda text: first_match(how, text))
        return old


def _is_group(vendor: int, code: int) -> bool:
    known = lookup(vendor, code)
    return known is not None and known.type is AvpType.GROUPED


def _as_text(old: bytes, change: Callable[[str], str]) -> bytes:
    try:
        return change(old.decode()).encode()
    except UnicodeDecodeError:
        return old


def text_of(message: bytes, code: int) -> str:
    """The first text with this code among the AVPs of a message; empty if there is none."""
    try:
        for found, vendor, _, start, stop in iter_avps(message, HEADER_SIZE, len(message)):
            if found == code and vendor == 0:
                return message[start:stop].decode(errors="replace")
    except RemoteProtocolError:
        return ""
    return ""


def origin_host_of(message: bytes) -> str:
    """Who a message says it is from."""
    return text_of(message, _ORIGIN_HOST)


def origin_realm_of(message: bytes) -> str:
    """The realm it says it is from."""
    return text_of(message, _ORIGIN_REALM)


def subscriber_of(message: bytes) -> str:
    """The first identity of a request as `type:text`; empty if it names none."""
    try:
        for code, vendor, _, start, stop in iter_avps(message, HEADER_SIZE, len(message)):
            if code == _SUBSCRIPTION_ID and vendor == 0:
                kind, data = b"", b""
                for inner, _, _, inside, end in iter_avps(message, start, stop):
                    if inner == _SUBSCRIPTION_TYPE:
                        kind = message[inside:end]
                    elif inner == _SUBSCRIPTION_DATA:
                        data = message[inside:end]
                number = int.from_bytes(kind, "big")
                name = _IDENTITY_TYPES[number] if number < len(_IDENTITY_TYPES) else "other"
                return f"{name}:{data.decode(errors='replace')}"
    except RemoteProtocolError:
        return ""
    return ""
