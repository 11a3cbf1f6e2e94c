"""Keep a database small and safe: prune by retention, back up, restore.

Called by `ocs db`. The audit is as clean after each as it was before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocs.clock import NS_PER_SECOND
from ocs.errors import RefusedError, UsageError
from ocs.provisioning.desk import Desk
from ocs.provisioning.instants import format_instant
from ocs.store import backup as copies
from ocs.store import migrations, retention
from ocs.store.retention import Pruned, Pruner

NS_PER_DAY = 86_400 * NS_PER_SECOND
REPEATABLE_NS = NS_PER_DAY
"""How long an event or a posting may be repeated, so that its record has to stay (D21)."""


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What pruning removed."""

    before_ns: int
    pruned: Pruned

    def view(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "before": format_instant(self.before_ns),
            "sessions": self.pruned.sessions,
            "requests": self.pruned.requests,
            "movements": self.pruned.movements,
            "carried_forward": self.pruned.carried,
            "reviews": self.pruned.reviews,
            "server_requests": self.pruned.server_requests,
            "notifications": self.pruned.notifications,
            "vouchers": self.pruned.vouchers,
        }


def prune(
    desk: Desk, keep_records_ns: int, keep_sessions_ns: int,
    keep_notifications_ns: int = 90 * NS_PER_DAY,
    progress: Callable[[int], None] = lambda _accounts: None,
    keep_vouchers_ns: int = 365 * NS_PER_DAY,
) -> PruneResult:  # fmt: skip
    """Remove records and closed sessions that are older; sums are carried forward.

    Finished requests to clients go like closed sessions, vouchers when they can bring nothing any
    more for ``keep_vouchers_ns`` (K-257). Events and operators' postings stay for
    REPEATABLE_NS at least. May be repeated any time. Interrupted, it leaves a database that is
    consistent and pruned in part.
    """
    now_ns = desk.clock.now_ns()
    if min(keep_records_ns, keep_sessions_ns, keep_notifications_ns, keep_vouchers_ns) < 0:
        raise UsageError("what is kept cannot be less than nothing")
    keep_ns = keep_records_ns
    pruner = Pruner(desk.reader, now_ns - keep_ns, now_ns - REPEATABLE_NS)
    total = Pruned()
    while (step := pruner.sessions(now_ns - keep_sessions_ns)).sessions:
        total.add(step)
    while (step := pruner.server_requests(now_ns - keep_sessions_ns)).server_requests:
        total.add(step)
    while (step := pruner.notifications(now_ns - keep_notifications_ns)).notifications:
        total.add(step)
    total.vouchers = _prune_vouchers(desk, now_ns - keep_vouchers_ns)
    pruner.remember()
    done, last = 0, 0
    while page := pruner.accounts_after(last):
        for account_id in page:
            while (step := pruner.account(account_id)).requests:
                total.add(step)
        last, done = page[-1], done + len(page)
        progress(done)
    total.add(pruner.reviews())
    result = PruneResult(now_ns - keep_ns, total)
    desk.store.record_action(desk.action("db prune", "database", **result.view()))
    return result


def _prune_vouchers(desk: Desk, before_ns: int) -> int:
    gone = 0
    for batch, _ in desk.store.voucher_batches():
        last, step = 0, 1
        while step:
            step, last = desk.store.prune_vouchers(
                batch.batch_id, last, before_ns, retention.STEP_VOUCHERS
            )
            gone += step
    return gone


def backup(desk: Desk, url: str, target: Path) -> dict[str, Any]:
    """Copy the database into a new file; the server may go on meanwhile."""
    octets = copies.backup(url, target)
    desk.store.record_action(desk.action("db backup", str(target), octets=octets))
    return {"file": str(target), "octets": octets, "at": format_instant(desk.clock.now_ns())}


def restore(url: str, source: Path, *, replace: bool) -> None:
    """Put a copy back; a database with accounts in it is replaced only when that was said.

    Raises RefusedError, StoreUnavailableError; the database is then as it was.
    """
    if not replace and not copies.is_empty(url):
        raise RefusedError(
            "the database is not empty; `ocs db backup` keeps what is in it, then say --replace"
        )
    copies.restore(url, source)
    migrations.require_head(migrations.current_version(url))
