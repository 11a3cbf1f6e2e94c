"""What one request's decision works with: its account, session, catalogue and open posting.

Made by engine.decide for each request and handed to serving, usage, granting and events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ocs.amounts import SECONDS
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import (
    FREE,
    PRICED,
    UNCONTROLLED,
    ChargeMode,
    FinalUnitPolicy,
    Plan,
    Service,
    ServiceTerms,
)
from ocs.charging.model.limit_counts import reached
from ocs.charging.model.messages import (
    ChargedLine,
    ChargingRequest,
    Outcome,
    ServiceReply,
    ServiceRequest,
)
from ocs.charging.model.session import Claim, QuotaState, Session
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Hold

NS_PER_SECOND = 1_000_000_000
WITH_RESERVATIONS, WITHOUT_RESERVATIONS = 1, 2
"""Whether money that is held for sessions counts as remaining."""
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
    remaining_balance: int = 0
    """What clients are told as Remaining-Balance: 0 nothing, else the balance WITH_RESERVATIONS
    or WITHOUT_RESERVATIONS (G-010)."""


def _no_history(_instant_ns: int) -> int:
    """Say of every instant that nobody knows which version was in force then."""
    return 0


@dataclass(slots=True)
class DecisionContext:
    """What decisions of one batch share. Instants are ns UTC."""

    now_ns: int
    node: int
    catalogues: Mapping[int, CatalogIndex]
    """By version; holds at least the current one and those that loaded sessions name."""
    current_version: int
    policy: DecisionPolicy
    version_at: Callable[[int], int] = _no_history
    """Which version was in force at an instant of the past; 0 = not known. What it names need not
    be loaded: ``catalogues`` may then raise, to be asked again when it is."""


class Decision:
    """One request on its way to a reply."""

    __slots__ = (
        "bounded", "charged", "context", "index", "limited", "plan", "plan_code", "pooled",
        "posting", "request", "request_id", "second_replies", "session", "state", "working_set",
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
        if session is not None:
            version = session.catalogue_version
        else:
            version = request.catalogue_version or context.current_version
        index = context.catalogues.get(version)
        self.plan_code = plan_code = session.plan if session else state.account.plan
        """The plan that usage of this request is charged by, also when the session changes it."""
        self.charge_by(index, index.catalog.plans.get(plan_code) if index else None)
        self.request_id = working_set.new_request_id()
        self.posting = entries.Posting(
            self.request_id, request.event_ns, context.now_ns, catalogue_version=version
        )
        self.charged: list[ChargedLine] = []
        self.pooled: list[Part] = []
        """Services whose quotas were drawn from a credit pool, as they were settled."""
        self.second_replies: list[tuple[ServiceReply, ServiceReply]] = []
        """What is said right after another reply: the quota behind a tariff switch (C-063)."""

    def charge_by(self, index: CatalogIndex | None, plan: Plan | None) -> None:
        """Decide by this plan of this catalogue from here on."""
        self.index, self.plan = index, plan
        self.limited = bool(self.state.account.details.caps or (plan is not None and plan.limits))
        """Whether there are limits to what may be used or spent (charging.counts.limits)."""
        self.bounded = plan is not None and bool(plan.bucket_caps)
        """Whether buckets pay so much in a period at most (charging.counts.bucket_caps)."""

    def payers(self, service: Service) -> tuple[list[Bucket], list[Bucket]]:
        """Return the buckets of units and of money that may pay for ``service`` (M-012)."""
        said = self.session or self.request
        return entries.payers(
            self.state, service.unit, service.code, said.subscriber_id, self.context.now_ns,
            service.measure,
        )

    def zone_for(self, service: Service, number: str = "") -> str:
        """Return the destination zone of this request, or of one of its recipients; empty where
        the service has none.
        """
        if not service.destination_rated or self.index is None:
            return ""
        attributes, session = self.request.attributes, self.session
        number = number or attributes.called_party
        if not number and attributes.recipients:
            number = attributes.recipients[0]
        if not number and session is not None:
            number = session.called_party
        return self.index.zone_of(number) if number else ""

    def context_key(
        self, service: Service, terms: ServiceTerms, asked: ServiceRequest, number: str = "",
        at_ns: int = 0,
    ) -> str:
        """Return what the price of a request depends on besides time: its destination zone (that
        of ``number`` where one is given) and, where prices have conditions, what was last said
        about them (G-009). Limits are those of the periods of ``at_ns``, by default the event's.
        """
        zone = self.zone_for(service, number) if service.destination_rated else ""
        if not terms.conditional or self.index is None:
            return zone
        said = self.session.said if self.session else None
        if said is None:
            said = self.request.attributes
        if asked.details is not None and asked.details.rat_type >= 0:
            said = replace(said, rat_type=asked.details.rat_type)
        if terms.limited:
            member = (self.session or self.request).subscriber_id
            limit = reached(
                self.plan, self.state.account, self.index.periods, service, member,
                at_ns or self.request.event_ns,
            )
            said = replace(said, limit=limit)
        if terms.related:
            said = replace(said, relation=self._relation(number))
        return self.index.context_key(terms, zone, said)

    def _relation(self, number: str) -> str:
        """Return how the other party, or the recipient ``number``, is related to the subscriber."""
        attributes, session, index = self.request.attributes, self.session, self.index
        assert index is not None
        known = session or attributes
        if known.role_of_node == ROLE_TERMINATING:
            said = session.said if session is not None and session.said else attributes
            number = number or attributes.calling_party or said.calling_party
        elif not number:
            number = attributes.called_party or next(iter(attributes.recipients), "")
            number = number or (session.called_party if session is not None else "")
        member = (session or self.request).subscriber_id
        friends = {
            one.number for one in self.state.account.details.friends
            if one.subscriber_id in (0, member)
        }  # fmt: skip
        return index.places.relation(number, attributes.routing_number, friends)

    def mode_of(
        self, service: Service, terms: ServiceTerms, asked: ServiceRequest
    ) -> ChargeMode:
        """Return how the service is charged for this request (D18, D24, section 3.8)."""
        # A session has remembered what this request says (G-009).
        said = self.session or self.request.attributes
        if said.emergency:
            return FREE
        if said.role_of_node == ROLE_TERMINATING and not (
            terms.prices_terminating and self._has_price(service, terms, asked)
        ):
            return FREE
        if terms.mode is UNCONTROLLED and self.request.profile.grant_or_refuse:
            return FREE
        return terms.mode

    def _has_price(self, service: Service, terms: ServiceTerms, asked: ServiceRequest) -> bool:
        if self.index is None:
            return False
        key = self.context_key(service, terms, asked)
        return self.index.tariff_at(terms, key, self.request.event_ns).rule is not None

    def final_unit_policy(self, terms: ServiceTerms) -> FinalUnitPolicy:
        """Return what happens at the end of the money, by terms, else by plan."""
        if terms.final_unit is not None:
            return terms.final_unit
        return self.plan.final_unit if self.plan else FinalUnitPolicy()

    def match(self, asked: ServiceRequest) -> Service | None:
        """Return the catalogue's service that this part of the request means."""
        if self.index is None:
            return None
        if asked.service:
            return self.index.catalog.services.get(asked.service)
        context = self.session.service_context if self.session else self.request.service_context
        return self.index.match_service(context, asked.rating_group, asked.service_identifiers)


@dataclass(slots=True)
class Room:
    """What the limits of an account leave for one grant (charging.counts.limits)."""

    units: int | None = None
    """None: none of them is in the units of the service."""
    micro: int | None = None
    """None: none of them is in money."""
    member_micro: int | None = None
    """The same of those that are of one member only."""
    stops: bool = False
    """Usage stops after these units; else it goes on at another price."""
    shared: bool = False
    """Other sessions may use what is missing, or give it back."""
    ends_ns: int = 0
    """Where the first of the periods ends."""
    limit: str = ""
    """The limit that leaves the least."""


class Part:
    """One service of a request that can be charged, and by what it is.

    ``units`` and ``money`` are the buckets that may pay for it, in spending order (M-012).
    """

    __slots__ = (
        "asked", "beside", "charges", "claimed", "clocked", "ends", "kept", "mode", "money",
        "one_tariff", "pool", "pool_left", "quota", "released", "released_units", "reply", "room",
        "service", "terms", "units",
    )

    def __init__(
        self,
        decision: Decision,
        asked: ServiceRequest,
        reply: ServiceReply,
        service: Service,
        terms: ServiceTerms,
        quota: QuotaState,
        *,
        ends: bool,
    ) -> None:
        self.asked, self.reply = asked, reply
        self.service, self.terms, self.quota = service, terms, quota
        self.mode = decision.mode_of(service, terms, asked)
        self.clocked = service.unit is SECONDS and not terms.counted
        """Whether its units are seconds of a timeline, each at the price of its own time (M-011);
        those of a price that counts over sessions are units like others."""
        self.charges = self.mode is PRICED
        """Whether usage costs something: as it was granted, whatever holds for the next grant."""
        if terms.prices_terminating and quota.granted_ns:
            said = decision.session or decision.request.attributes
            self.charges = not (quota.free or said.emergency)
        self.units, self.money = decision.payers(service)
        self.ends = ends
        """The client wants no new quota after this report."""
        self.claimed: Sequence[Claim] = ()
        """What the quota could use still of the account's counters before its report."""
        self.room: Room | None = None
        """What limits leave for the next grant; None where none holds."""
        self.released: Sequence[Hold] = ()
        """What the quota held before its usage was debited, and what of it are free units."""
        self.released_units: Sequence[Hold] = ()
        self.kept = 0
        """Units that the client keeps beside a new grant, because grants add up for it."""
        self.beside: Part | None = None
        """The same request in another unit, granted together with this one (G-001)."""
        self.one_tariff = False
        """A grant ends at a tariff switch, whatever the client understands."""
        self.pool = self.pool_left = 0
        """The credit pool that was drawn on, and the money this quota still held for it."""

    def refuse(self, outcome: Outcome, reason: str) -> None:
        """Say why nothing is granted."""
        self.reply.outcome, self.reply.reason = outcome, reason
