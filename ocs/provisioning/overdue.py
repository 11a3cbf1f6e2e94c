"""What an account missed while no server was there, done before an operator changes it (K-267).

Called by top-ups, vouchers, transfers, corrections, refunds, and changes of plans, states, limits
and caps, inside their transactions.
"""

from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import duties
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.working_set import WorkingSet
from ocs.provisioning.desk import Desk


def catch_up(
    desk: Desk, working_set: WorkingSet, account_id: int, catalogue: CatalogIndex | None,
    now_ns: int,
) -> None:  # fmt: skip
    """Do everything that is due for a loaded account at ``now_ns`` (ns UTC), by ``catalogue``;
    without one nothing can be due.
    """
    if catalogue is None:
        return
    version = catalogue.catalog.version
    context = DecisionContext(now_ns, 0, {version: catalogue}, version, desk.policy)
    duties.catch_up(working_set, account_id, context)
