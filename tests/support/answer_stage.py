"""Every kind of answer of the server: the stage on which each is provoked, and the list of them.

``answer_cases`` fills the list. What is sent and received goes into a capture, message by message.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from protocol.codec import Header
from tests.support.blackbox import World
from tests.support.blackbox_client import PS, Answer, Dialogue, Peer
from tests.support.pcap import Capture

GATEWAY, STRICT, IDLE = "pgw1.net.example", "strict.net.example", "idle.net.example"
PEERS = [
    {"origin_host": GATEWAY},
    {"origin_host": IDLE},
    {"origin_host": STRICT, "profile": "strict"},
]
CHARGING = {
    "low_balance_indication": True,
    "cc_session_failover": "supported",
    "credit_control_failure_handling": "retry-and-terminate",
    "direct_debiting_failure_handling": "continue",
}
"""Settings with which answers say as much as they can."""

CATALOGUE = """
name: Every answer
currency: EUR
time_zone: UTC
time_bands:
  cheap: {{from: "{begin}", to: "{end}"}}
services:
  data:
    contexts: 32251@3gpp.org
    rating_groups: [100]
    service_identifiers: [5]
    unit: octets
    quota: {{slice: 10 MB, maximum: 10 MB, validity: 15 min, threshold: 20 %,
             quota_holding_time: 5 min}}
  changing:
    contexts: 32251@3gpp.org
    rating_groups: [101]
    unit: octets
    quota: {{slice: 10 MB, maximum: 10 MB, validity: 15 min}}
  open:
    contexts: 32251@3gpp.org
    rating_groups: [300]
    service_identifiers: [30]
    unit: octets
    quota: {{slice: 10 MB, maximum: 10 MB}}
  business:
    contexts: 32251@3gpp.org
    rating_groups: [400]
    service_identifiers: [40]
    unit: octets
    quota: {{slice: 10 MB, maximum: 10 MB}}
  online:
    contexts: 32251@3gpp.org
    rating_groups: [500]
    unit: seconds
    quota: {{slice: 10 min, maximum: 10 min, threshold: 10 %}}
  pages:
    contexts: 32251@3gpp.org
    rating_groups: [600]
    unit: events
    quota: {{slice: 10, maximum: 10, threshold: 10 %}}
  message:
    contexts: 32274@3gpp.org
    rating_groups: [1]
    service_identifiers: [1]
    unit: events
    quota: {{slice: 1, maximum: 100}}
plans:
  basic:
    low_balance: 5.00
    services: {services}
  redirect:
    final_unit: {{action: redirect, url: "http://topup.example/"}}
    services: {services}
  restrict:
    final_unit:
      action: restrict
      filter_rules: [permit out ip from 192.0.2.80 to assigned]
      filter_ids: [operator-pages]
    services: {services}
  bought:
    services: {{business: {{price: 0.05, per: 1 MB, increment: 1 MB}}}}
"""
SERVICES = """
      data: {price: 0.05, per: 1 MB, increment: 1 MB}
      changing:
        prices:
          - {time_band: cheap, price: 0.05, per: 1 MB, increment: 1 MB}
          - {price: 0.08, per: 1 MB, increment: 1 MB}
      open: uncontrolled
      online: {price: 0.12, per: 1 min, increment: 1 s}
      pages: {price: 0.01}
      message: {price: 0.07}"""


def catalogue() -> str:
    """Return the catalogue; one of its prices changes in about ten minutes."""
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=1), now + timedelta(minutes=10)
    return CATALOGUE.format(begin=f"{begin:%H:%M}", end=f"{end:%H:%M}", services=SERVICES)


class Recorder(Peer):
    """A gateway's connection that puts what it sends and receives into the capture."""

    def __init__(self, stage: "Stage", origin_host: str, **kwargs: Any) -> None:
        world = stage.world
        super().__init__(world.server.addresses[0], origin_host, world.now_ns, **kwargs)
        self.stage = stage
        self.number = stage.capture.connection()

    def send(self, data: bytes) -> None:
        self.stage.capture.add(self.number, data, from_client=True)
        super().send(data)

    def receive(self, deadline: float = math.inf) -> tuple[Header, bytes]:
        header, message = super().receive(deadline)
        place = self.stage.capture.add(self.number, message, from_client=False)
        self.stage.places[message] = place
        return header, message


class Listener(Recorder):
    """A gateway that hands out the server's own requests too."""

    def _answered(self, _header: Header) -> bool:
        return False


class Stage:
    """What the cases play on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.capture = Capture(world.server.addresses[0][1])
        self.places: dict[bytes, int] = {}
        """Where in the capture a message of the server is."""

    def connect(self, origin_host: str = GATEWAY) -> Recorder:
        """Connect and say nothing."""
        return Recorder(self, origin_host)

    @contextlib.contextmanager
    def peer(self, origin_host: str = GATEWAY) -> Iterator[Recorder]:
        """A connection with capabilities exchanged."""
        with self.connect(origin_host) as peer:
            assert peer.open().result_code == 2001
            yield peer

    @contextlib.contextmanager
    def session(
        self, context: str = PS, origin_host: str = GATEWAY, **account: Any
    ) -> Iterator[Dialogue]:
        """A session of a new account, on a connection of its own, that has not begun."""
        with self.peer(origin_host) as peer:
            yield Dialogue(peer, self.world.account(**account), context)


class Case(NamedTuple):
    """How one kind of answer is provoked, and what must be shown in it."""

    ask: Callable[[Stage], Answer]
    command: int
    code: int
    shows: dict[str, list[str]]
    """What is shown for fields of this name, for each time they occur."""
    broken_header: bool
    """No one can tell that the request was one that this answers."""


CASES: dict[str, Case] = {}


def case(
    name: str,
    command: int,
    code: int,
    ask: Callable[[Stage], Answer],
    *,
    broken_header: bool = False,
    **shows: Any,
) -> None:
    """Add a case; ``shows`` are AVPs by name, with _ for the hyphen, and what is shown for them."""
    assert name not in CASES
    expected = {
        "diameter." + avp.replace("_", "-"): [str(one) for one in shown]
        if isinstance(shown, list)
        else [str(shown)]
        for avp, shown in shows.items()
    }
    CASES[name] = Case(ask, command, code, expected, broken_header)
