"""A charging server of somebody else that keeps books: it grants everything and writes CSV files.

Each octet or second costs a micro unit. `balances.csv` and `charges.csv` are what a check command
looks into; see the recipe in docs/simulator.md.
"""

import csv
from collections import Counter, defaultdict
from pathlib import Path

from protocol.codec import Header
from protocol.credit_control import CreditControlAnswer, CreditControlRequest
from tests.support.responder import Responder, grant_all

OPENING_MICRO = 1_000_000_000_000


class Bookkeeper:
    """The answerer of a Responder; its files are written with every request that costs."""

    def __init__(self, directory: Path, msisdns: list[str]) -> None:
        self.directory = directory
        self.spent: Counter[str] = Counter(dict.fromkeys(msisdns, 0))
        self.used: dict[str, Counter[str]] = defaultdict(Counter)
        self.error_micro = 0
        """What the charge of each session is wrong by."""
        self._seen: set[tuple[str, int, int]] = set()
        self._write()

    def __call__(
        self, responder: Responder, header: Header, request: CreditControlRequest
    ) -> CreditControlAnswer | None:
        """Charge what is reported, once."""
        key = request.session_id, request.request_type, request.request_number
        if key not in self._seen:
            self._seen.add(key)
            self._charge(request)
        return grant_all(responder, header, request)

    def _charge(self, request: CreditControlRequest) -> None:
        used = self.used[request.session_id]
        # E.164 numbers come as digits alone (RFC 8506 section 8.47); its books write them with "+".
        number = next(one.data for one in request.subscription_ids if one.type == 0)
        msisdn = f"+{number.removeprefix('+')}"
        for part in request.services:
            for report in part.used:
                used["octets"] += report.total_octets or 0
                used["seconds"] += report.time or 0
                self.spent[msisdn] += (report.total_octets or 0) + (report.time or 0)
        self._write()

    def _write(self) -> None:
        with (self.directory / "balances.csv").open("w", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["msisdn", "balance", "held"])
            for msisdn, spent in self.spent.items():
                rows.writerow([msisdn, _money(OPENING_MICRO - spent), "0"])
        with (self.directory / "charges.csv").open("w", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["session", "charged", "octets", "seconds"])
            for session, used in self.used.items():
                charged = used["octets"] + used["seconds"] + self.error_micro
                rows.writerow([session, _money(charged), used["octets"], used["seconds"]])


def _money(micro: int) -> str:
    return f"{micro // 1_000_000}.{micro % 1_000_000:06d}"
