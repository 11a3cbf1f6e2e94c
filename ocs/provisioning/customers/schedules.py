"""What will be done for an account by itself: its next fees, renewals and steps of its life.

Called by `ocs account schedule`.
"""

from typing import Any

from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import agenda, coming
from ocs.errors import NotFoundError
from ocs.provisioning.desk import Desk
from ocs.provisioning.instants import format_instant, format_local
from ocs.provisioning.published import History
from ocs.provisioning.views import money


def schedule(
    desk: Desk, account_id: int, catalogue: CatalogIndex, count: int
) -> list[dict[str, Any]]:
    """Return the next ``count`` things, earliest first, if the account and its plan stay as they
    are; with instants on the catalogue's clock beside those in UTC. Raises NotFoundError.
    """
    account = desk.reports.account(account_id)
    if account is None:
        raise NotFoundError(f"there is no account {account_id}")
    zone = catalogue.catalog.time_zone
    history = History(desk.store, catalogue)

    def then(instant_ns: int) -> CatalogIndex | None:
        version = history.version_at(instant_ns)
        return history[version] if version else None

    rows = [
        (
            one.at_ns,
            {
                "at": format_instant(one.at_ns),
                "kind": "retry" if one.retry else agenda.RECURRING,
                "item": one.code,
                **money("fee", one.fee_micro),
                "allowances": list(one.allowances),
                "until": format_instant(one.until_ns),
                "at_local": format_local(one.at_ns, zone),
                "until_local": format_local(one.until_ns, zone),
            },
        )
        for one in coming.coming(account, catalogue, count, then)
    ]
    rows += [
        (
            duty.at_ns,
            {
                "at": format_instant(duty.at_ns),
                "kind": duty.kind,
                "item": "",
                **money("fee", 0),
                "allowances": [],
                "until": "",
                "at_local": format_local(duty.at_ns, zone),
                "until_local": "",
            },
        )
        for duty in agenda.duties_of(account)
        if duty.kind != agenda.RECURRING
    ]
    rows.sort(key=lambda row: row[0])
    return [view for _, view in rows[:count]]
