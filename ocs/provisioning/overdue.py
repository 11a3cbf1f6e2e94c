"""What an account missed while no server was there, done before an operator changes it (K-267).

Called by top-ups, vouchers, transfers, corrections, refunds, and changes of plans, states, limits
and caps, inside their transactions.
"""

from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import duties
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.working_set import WorkingSet
from ocs.provisioning.desk import Desk
from ocs.provisioning.published import History


def catch_up(
    desk: Desk, working_set: WorkingSet, account_id: int, catalogue: CatalogIndex | None,
    now_ns: int,
) -> None:  # fmt: skip
    """Do everything that is due for a loaded account at ``now_ns`` (ns UTC): by the catalogues of
    its time and by ``catalogue``, which is in force; without one nothing can be due.
    """
    if catalogue is None:
        return
    known = History(desk.store, catalogue)
    context = DecisionContext(
        now_ns, 0, known, catalogue.catalog.version, desk.policy, known.version_at
    )
    duties.catch_up(working_set, account_id, context)
