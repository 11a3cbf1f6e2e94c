"""What one request's decision works with: its account, session, catalogue and open posting.

Made by engine.decide for each request and handed to usage, granting and events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ocs.amounts import Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import ChargeMode, FinalUnitPolicy, Plan, QuotaPolicy, Service, ServiceTerms
from ocs.charging.messages import ChargedLine, ChargingRequest, ServiceRequest
from ocs.charging.session import Session
from ocs.charging.working_set import AccountState, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import Bucket

NS_PER_SECOND = 1_000_000_000
ROLE_TERMINATING = 1
"""Role-Of-Node of the called side (TS 32.299 7.2.178)."""


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """Server-wide settings of credit control; times in seconds."""

    tcc_default_seconds: int = 7200
    """Supervision time of a session without any Validity-Time (D02)."""
    tombstone_seconds: int = 600
    """How long a closed session still accepts late usage (D11)."""
    indeterminate_before: bool = True
    """Usage straddling a tariff switch belongs to the tariff before it (D06)."""


@dataclass(slots=True)
class DecisionContext:
    """What decisions of one batch share. Instants are ns UTC."""

    now_ns: int
    node: int
    catalogues: Mapping[int, CatalogIndex]
    """By version; holds at least the current one and those that loaded sessions name."""
    current_version: int
    policy: DecisionPolicy


class Decision:
    """One request on its way to a reply."""

    __slots__ = (
        "_spendable", "charged", "context", "index", "plan", "posting", "request", "request_id",
        "session", "state", "working_set",
    )

    def __init__(
        self,
        request: ChargingRequest,
        working_set: WorkingSet,
        context: DecisionContext,
        state: AccountState,
        session: Session | None,
    ) -> None:
        self.request = request
        self.working_set = working_set
        self.context = context
        self.state = state
        self.session = session
        version = session.catalogue_version if session else context.current_version
        self.index: CatalogIndex | None = context.catalogues.get(version)
        plan_code = session.plan if session else state.account.plan
        self.plan: Plan | None = self.index.catalog.plans.get(plan_code) if self.index else None
        self.request_id = working_set.new_request_id()
        self.posting = entries.Posting(
            self.request_id, request.event_ns, context.now_ns, catalogue_version=version
        )
        self.charged: list[ChargedLine] = []
        self._spendable: dict[tuple[int, str], list[Bucket]] = {}

    @property
    def subscriber_id(self) -> int:
        """Which member of the account is served."""
        return self.session.subscriber_id if self.session else self.request.subscriber_id

    def spendable(self, unit: Unit, service: str) -> list[Bucket]:
        """Return the buckets that may pay for ``service``, in spending order (M-012)."""
        key = (unit, service)
        buckets = self._spendable.get(key)
        if buckets is None:
            buckets = self._spendable[key] = entries.spendable(
                self.state, unit, service, self.subscriber_id, self.context.now_ns
            )
        return buckets

    def zone_for(self, service: Service) -> str:
        """Return the destination zone of this request, empty where the service has none."""
        if not service.destination_rated or self.index is None:
            return ""
        attributes, session = self.request.attributes, self.session
        number = attributes.called_party
        if not number and attributes.recipients:
            number = attributes.recipients[0]
        if not number and session is not None:
            number = session.called_party
        return self.index.zone_of(number) if number else ""

    def mode_of(self, terms: ServiceTerms) -> ChargeMode:
        """Return how the service is charged for this request (D18, D24, section 3.8)."""
        # A session has remembered what this request says (G-009).
        said = self.session or self.request.attributes
        if said.emergency or said.role_of_node == ROLE_TERMINATING:
            return ChargeMode.FREE
        if terms.mode is ChargeMode.UNCONTROLLED and self.request.profile.grant_or_refuse:
            return ChargeMode.FREE
        return terms.mode

    def quota_policy(self, service: Service, terms: ServiceTerms) -> QuotaPolicy:
        """Return the quota policy of the plan's terms, else the service's own."""
        return terms.quota or service.quota

    def final_unit_policy(self, terms: ServiceTerms) -> FinalUnitPolicy:
        """Return what happens at the end of the money, by terms, else by plan."""
        if terms.final_unit is not None:
            return terms.final_unit
        return self.plan.final_unit if self.plan else FinalUnitPolicy()

    def match(self, asked: ServiceRequest) -> Service | None:
        """Return the catalogue's service that this part of the request means."""
        if self.index is None:
            return None
        context = self.session.service_context if self.session else self.request.service_context
        return self.index.match_service(context, asked.rating_group, asked.service_identifiers)
