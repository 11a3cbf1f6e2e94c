"""How an open session comes to a new plan or a newer catalogue: with a report that leaves nothing
outstanding under the old one.

Usage is always charged as it was granted. When everything the client had is reported, what it is
granted next is priced by the account's plan of today in the catalogue of today. Called by serving
between the debits and the grants of an update (RFC 8506 5.5: the report that a Re-Auth asks for).
"""

from __future__ import annotations

from collections.abc import Callable

from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Catalog, Service, ServiceTerms
from ocs.charging import circumstances
from ocs.charging.decision import Decision, Part
from ocs.charging.messages import Outcome, ServiceRequest
from ocs.charging.session import QuotaState, Session

FindQuota = Callable[[Decision, Session, ServiceRequest, Service, ServiceTerms], QuotaState | None]


def is_outdated(decision: Decision, session: Session) -> bool:
    """Tell whether the session is still charged by another plan or an older catalogue."""
    return (
        session.catalogue_version < decision.context.current_version
        or session.plan != decision.state.account.plan
    )


def adopt(
    decision: Decision, session: Session, parts: list[Part], find_quota: FindQuota
) -> list[Part]:
    """Charge the session by the plan and catalogue of today from here on, if it can be done now.

    Returns the parts that can be granted something; of the others the reply says why not. All
    usage of the request has been debited.
    """
    reported = {id(part.quota) for part in parts}
    if any(quota.granted or quota.holds for quota in session.quotas if id(quota) not in reported):
        return parts
    version = max(session.catalogue_version, decision.context.current_version)
    index = decision.context.catalogues.get(version)
    plan = index.catalog.plans.get(decision.state.account.plan) if index else None
    if index is None or plan is None:
        return parts
    for quota in session.quotas:
        if not same_terms(decision.index, session.plan, index, plan.code, quota.service):
            _start_afresh(quota)
    session.catalogue_version, session.plan = version, plan.code
    decision.index, decision.plan = index, plan
    if plan.conditional:
        session.said = circumstances.remembered(session.said, decision.request.attributes)
    return [part for part in parts if _renew(decision, session, part, find_quota)]


def same_terms(
    old: CatalogIndex | None, old_plan: str, new: CatalogIndex, new_plan: str, service: str
) -> bool:
    """Tell whether a service means and costs the same in two plans of two catalogues."""
    if old is None:
        return False
    before, after = _terms(old.catalog, old_plan, service), _terms(new.catalog, new_plan, service)
    return before is not None and before == after


def _terms(catalog: Catalog, plan_code: str, service: str) -> tuple[object, ...] | None:
    """Return everything a price depends on; None where the plan does not include the service."""
    plan = catalog.plans.get(plan_code)
    terms = plan.terms.get(service) if plan else None
    if plan is None or terms is None:
        return None
    return (
        catalog.services[service], terms, plan.final_unit, catalog.zones, catalog.bands,
        catalog.time_zone, catalog.networks, catalog.locations,
    )


def _start_afresh(quota: QuotaState) -> None:
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
    part.mode = decision.mode_of(service, terms, part.asked)
    part.units, part.money = decision.payers(service)
    return True
