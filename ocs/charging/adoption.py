"""How an open session comes to a new plan or a newer catalogue: with a report that leaves nothing
outstanding under the old one.

Usage is always charged as it was granted. When the client has nothing left of it, what it is
granted next is priced by the account's plan of today in the catalogue of today. Called by serving
between the debits and the grants of an update (RFC 8506 5.5: the report that a Re-Auth asks for).
"""

from __future__ import annotations

from collections.abc import Callable

from ocs.amounts import SECONDS
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import PRICED, Service, ServiceTerms
from ocs.charging.model import circumstances
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import Outcome, ServiceRequest
from ocs.charging.model.session import QuotaState, Session

FindQuota = Callable[[Decision, Session, ServiceRequest, Service, ServiceTerms], QuotaState | None]
Join = Callable[[Decision, Session, Part], None]


def is_outdated(decision: Decision, session: Session) -> bool:
    """Tell whether the session is still charged by another plan or catalogue than it should be.

    A plan may keep its sessions to the catalogue that they began under (K-353).
    """
    if session.plan != decision.state.account.plan:
        return True
    if session.catalogue_version == decision.context.current_version:
        return False
    return decision.plan is None or not decision.plan.keeps_version


def adopt(
    decision: Decision, session: Session, parts: list[Part], find_quota: FindQuota, join: Join
) -> list[Part]:
    """Charge the session by the plan and catalogue of today from here on, if it can be done now.

    Returns the parts that can be granted something; of the others the reply says why not. All
    usage of the request has been debited.
    """
    if _is_outstanding(session, parts):
        return parts
    index = decision.context.catalogues.get(decision.context.current_version)
    if index is not None and decision.index is not None and _rank(decision.index) > _rank(index):
        # Another server, whose clock is ahead, has met the next one already.
        index = decision.index
    plan = index.catalog.plans.get(decision.state.account.plan) if index else None
    if index is None or plan is None:
        return parts
    for quota in session.quotas:
        if not same_terms(decision.index, session.plan, index, plan.code, quota.service):
            start_afresh(quota)
    session.catalogue_version, session.plan = index.catalog.version, plan.code
    decision.charge_by(index, plan)
    if plan.conditional:
        session.said = circumstances.remembered(session.said, decision.request.attributes)
    renewed = [part for part in parts if _renew(decision, session, part, find_quota)]
    for part in renewed:
        join(decision, session, part)
    return renewed


def _rank(index: CatalogIndex) -> tuple[int, int]:
    return index.catalog.effective_ns, index.catalog.version


def _is_outstanding(session: Session, parts: list[Part]) -> bool:
    """Tell whether the client can still use something that it was granted.

    A part of the request that neither reports nor asks says nothing about its quota, and units
    that add up stay at the client when the rest is reported.
    """
    return any(quota.granted or quota.holds for quota in session.quotas) or any(
        part.kept or (part.beside is not None and part.beside.kept) for part in parts
    )


def same_terms(
    old: CatalogIndex | None, old_plan: str, new: CatalogIndex, new_plan: str, service: str
) -> bool:
    """Tell whether a service costs the same in two plans of two catalogues."""
    if old is None:
        return False
    before = old.meaning(old_plan, service)
    return before is not None and before == new.meaning(new_plan, service)


def start_afresh(quota: QuotaState) -> None:
    """Count from nothing: what was counted is no base for another price."""
    quota.contexts = []
    quota.rule = quota.zone = ""
    quota.slot_ns = quota.started_ns = quota.tariff_change_ns = 0
    quota.used_units = quota.bucket_units = 0


def _renew(
    decision: Decision, session: Session, part: Part, find_quota: FindQuota
) -> bool:
    """Look up what a part of the request means today; False after saying why it is refused."""
    plan, service = decision.plan, decision.match(part.asked)
    assert plan is not None
    terms = plan.terms.get(service.code) if service is not None else None
    if service is None or terms is None:
        if service is None:
            part.refuse(Outcome.RATING_FAILED, "the catalogue has no such service any more")
        else:
            part.refuse(
                Outcome.NOT_ENTITLED,
                f"plan '{plan.code}' does not include service '{service.code}'",
            )
        return False
    quota = find_quota(decision, session, part.asked, service, terms)
    if quota is None:
        part.refuse(Outcome.RESOURCES_EXCEEDED, "the session has too many quotas")
        return False
    part.service, part.terms, part.quota = service, terms, quota
    part.clocked = service.unit is SECONDS and not terms.counted
    part.mode = decision.mode_of(service, terms, part.asked)
    part.charges = part.mode is PRICED
    part.units, part.money = decision.payers(service)
    return True
