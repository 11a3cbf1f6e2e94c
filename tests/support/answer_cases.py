"""How each kind of answer of the server is provoked: the cases of ``answer_stage``."""

from collections.abc import Callable
from typing import Any

from protocol import codec
from protocol.base import DeviceWatchdogRequest, DisconnectCause, DisconnectPeerRequest
from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_u32, encode_u64
from protocol.credit_control import ServiceUnits, SubscriptionId
from protocol.session_commands import SessionCommand, SessionRequest, write_session_request
from tests.support.answer_stage import CASES, GATEWAY, STRICT, Recorder, Stage, case
from tests.support.blackbox_client import (
    EUR,
    OCS_HOST,
    OCS_REALM,
    SMS,
    Answer,
    Dialogue,
    mscc,
    with_flags,
    with_more,
    with_other,
    without,
)

__all__ = ["CASES"]

INITIAL, UPDATE, TERMINATION, EVENT = 1, 2, 3, 4
DEBIT, REFUND, CHECK, PRICE = range(4)
CCR, STR = 272, int(SessionCommand.SESSION_TERMINATION)
MB = 1_000_000
UNKNOWN = encode_avp(65000, b"what?")
PROXY = encode_grouped(284, codec.encode_utf8(280, "proxy.net.example") + encode_avp(33, b"\0\1"))

# --------------------------------------------------------------------------- base commands


def capabilities(
    edit: Callable[[bytes], bytes] = lambda message: message,
    origin_host: str = GATEWAY,
    **said: Any,
) -> Callable[[Stage], Answer]:
    """Return how a CER is sent: with other members, or edited."""

    def ask(stage: Stage) -> Answer:
        with stage.connect(origin_host) as peer:
            return peer.ask_for(edit(peer.capabilities(**said)))

    return ask


def connected_twice(stage: Stage) -> Answer:
    with stage.peer(), stage.connect() as second:
        return second.ask_for(second.capabilities())


def said_on_a_connection(
    build: Callable[[Recorder], bytes], edit: Callable[[bytes], bytes] = lambda message: message
) -> Callable[[Stage], Answer]:
    """Return how a base request is sent on an open connection."""

    def ask(stage: Stage) -> Answer:
        with stage.peer() as peer:
            return peer.ask_for(edit(build(peer)))

    return ask


def last_words(edit: Callable[[bytes], bytes]) -> Callable[[Stage], Answer]:
    """Return how a watchdog is sent that costs the connection."""

    def ask(stage: Stage) -> Answer:
        with stage.peer() as peer:
            peer.send(edit(watchdog(peer)))
            said = peer.last_words()
            assert said is not None
            return said

    return ask


def watchdog(peer: Recorder) -> bytes:
    return DeviceWatchdogRequest(peer.origin_host, peer.origin_realm).write(*peer.ids())


def goodbye(peer: Recorder) -> bytes:
    return DisconnectPeerRequest(
        peer.origin_host, peer.origin_realm, DisconnectCause.REBOOTING
    ).write(*peer.ids())


def of_no_command(peer: Recorder) -> bytes:
    avps = watchdog(peer)[codec.HEADER_SIZE :]
    return codec.encode_message(300, 0, codec.FLAG_REQUEST, *peer.ids(), avps)


def cut_short(message: bytes) -> bytes:
    return message[:1] + (len(message) - 1).to_bytes(3, "big") + message[4:]


case(
    "cea",
    257,
    2001,
    capabilities(),
    Auth_Application_Id=[4, 4],
    Supported_Vendor_Id=10415,
    Origin_Host=OCS_HOST,
    Origin_Realm=OCS_REALM,
)
case("cea-unknown-peer", 257, 3010, capabilities(origin_host="x.evil.example"))
case("cea-no-application", 257, 5010, capabilities(auth_application_ids=()))
case("cea-no-security", 257, 5017, capabilities(inband_security_ids=(1,)))
case("cea-missing", 257, 5005, capabilities(lambda cer: without(cer, 257)))
case("cea-unsupported", 257, 5001, capabilities(lambda cer: with_more(cer, UNKNOWN)))
case(
    "cea-twice",
    257,
    5009,
    capabilities(lambda cer: with_more(cer, codec.encode_utf8(296, "two.example"))),
)
case("cea-short", 257, 5014, capabilities(lambda cer: with_other(cer, 266, encode_avp(266, b"1"))))
case(
    "cea-error-bit", 257, 3008, capabilities(lambda cer: with_flags(cer, 0xA0)), broken_header=True
)
case("cea-connected-already", 257, 5012, connected_twice)
case("dwa", 280, 2001, said_on_a_connection(watchdog), Origin_Host=OCS_HOST)
case("dwa-missing", 280, 5005, said_on_a_connection(watchdog, lambda dwr: without(dwr, 264)))
case("dwa-other-version", 280, 5011, last_words(lambda dwr: b"\x02" + dwr[1:]), broken_header=True)
case("dwa-wrong-length", 280, 5015, last_words(cut_short), broken_header=True)
case("dpa", 282, 2001, said_on_a_connection(goodbye), Origin_Host=OCS_HOST)
case("dpa-missing", 282, 5005, said_on_a_connection(goodbye, lambda dpr: without(dpr, 273)))
case("unknown-base-command", 300, 3001, said_on_a_connection(of_no_command))


# ------------------------------------------------------------------------------- sessions


def opened(
    *services: Any,
    edit: Callable[[bytes], bytes] = lambda message: message,
    account: dict[str, Any] | None = None,
    origin_host: str = GATEWAY,
    **changes: Any,
) -> Callable[[Stage], Answer]:
    """Return how a session is begun: with these services and changes, or edited."""

    def ask(stage: Stage) -> Answer:
        with stage.session(origin_host=origin_host, **(account or {})) as session:
            message = session.message(INITIAL, *(services or (mscc(100, {}),)), **changes)
            return session.peer.ask_for(edit(message))

    return ask


def continued(*services: Any, kind: int = UPDATE, **account: Any) -> Callable[[Stage], Answer]:
    """Return how a session of rating group 100 goes on."""

    def ask(stage: Stage) -> Answer:
        with stage.session(**account) as session:
            assert session.initial(mscc(100, {})).code == 2001
            return session.peer.ask_for(session.message(kind, *services))

    return ask


def of_no_session(kind: int) -> Callable[[Stage], Answer]:
    def ask(stage: Stage) -> Answer:
        with stage.session() as session:
            return session.peer.ask_for(session.message(kind, mscc(100, used={"total": 1})))

    return ask


def opened_twice(stage: Stage) -> Answer:
    with stage.session() as session:
        session.initial(mscc(100, {}))
        return session.initial(mscc(100, {"total": MB}), number=5)


def after_the_goodbye(stage: Stage) -> Answer:
    """The connection is being closed: nothing new is begun on it."""
    with stage.session() as session:
        assert isinstance(session.peer, Recorder)
        session.peer.send(goodbye(session.peer))
        return session.initial(mscc(100, {}))


def of_other_command(command: int, application: int) -> Callable[[bytes], bytes]:
    return lambda ccr: codec.encode_message(
        command, application, 0xC0, 7, 8, ccr[codec.HEADER_SIZE :]
    )


def one_service(units: ServiceUnits, identifier: int, **account: Any) -> Callable[[Stage], Answer]:
    """Return how a session without MSCC is begun."""

    def ask(stage: Stage) -> Answer:
        with stage.session(**account) as session:
            return session.initial(requested=units, service_identifier=identifier)

    return ask


SOME = ServiceUnits(total_octets=MB)
NOBODY = [SubscriptionId(0, "19990000")]
case(
    "cca-i",
    CCR,
    2001,
    opened(proxy_infos=PROXY, sub_session_id=7),
    CC_Total_Octets=10 * MB,
    Validity_Time=900,
    Rating_Group=100,
    CC_Request_Type=INITIAL,
    CC_Request_Number=0,
    CC_Session_Failover=1,
    Credit_Control_Failure_Handling=2,
    Direct_Debiting_Failure_Handling=1,
    Quota_Holding_Time=300,
    Volume_Quota_Threshold=2 * MB,
    CC_Sub_Session_Id=7,
    Proxy_Host="proxy.net.example",
    Result_Code=[2001, 2001],
)
case(
    "cca-i-two-services",
    CCR,
    2001,
    opened(mscc(100, {"total": MB}), mscc(500, {"time": 60})),
    CC_Total_Octets=MB,
    CC_Time=60,
    Rating_Group=[100, 500],
    Time_Quota_Threshold=6,
)
case("cca-i-empty", CCR, 2001, opened(*[], edit=lambda ccr: without(ccr, 456)), Rating_Group=[])
case(
    "cca-i-events",
    CCR,
    2001,
    opened(mscc(600, {})),
    CC_Service_Specific_Units=10,
    Unit_Quota_Threshold=1,
)
case("cca-i-in-and-out", CCR, 2001, opened(mscc(100, {"up": MB, "down": MB})), Rating_Group=100)
case("cca-i-tariff-change", CCR, 2001, opened(mscc(101, {})), CC_Total_Octets=10 * MB)
case("cca-i-identifiers", CCR, 2001, opened(mscc(100, {}, si=(5,))), Service_Identifier=5)
case(
    "cca-i-money",
    CCR,
    2001,
    opened(mscc(100, {"money": (125, -2, EUR)})),
    Value_Digits=125,
    Exponent=-2,
    Currency_Code=EUR,
)
case(
    "cca-i-terminate",
    CCR,
    2001,
    opened(account={"name": "A2"}),
    CC_Total_Octets=4 * MB,
    Final_Unit_Action=0,
    Low_Balance_Indication=1,
)
case(
    "cca-i-redirect",
    CCR,
    2001,
    opened(account={"name": "A9"}),
    Final_Unit_Action=1,
    Redirect_Address_Type=2,
    Redirect_Server_Address="http://topup.example/",
)
case(
    "cca-i-restrict",
    CCR,
    2001,
    opened(account={"name": "A2", "plan": "restrict"}),
    Final_Unit_Action=2,
    Filter_Id="operator-pages",
    Restriction_Filter_Rule="permit out ip from 192.0.2.80 to assigned",
)
for name, group, code, account in (
    ("no-credit", 100, 4012, {"name": "A3"}),
    ("uncontrolled", 300, 4011, {}),
    ("not-entitled", 400, 5003, {}),
    ("no-tariff", 999, 5031, {}),
):
    case(
        f"cca-i-service-{name}",
        CCR,
        2001,
        opened(mscc(group, {}), account=account),
        Result_Code=[2001, code],
        Rating_Group=group,
    )
case(
    "cca-i-one-service",
    CCR,
    2001,
    one_service(SOME, 5),
    CC_Total_Octets=MB,
    Validity_Time=900,
    Rating_Group=[],
)
case("cca-i-one-final", CCR, 2001, one_service(ServiceUnits(), 5, name="A2"), Final_Unit_Action=0)
case("cca-i-blocked", CCR, 4010, opened(account={"name": "A4"}))
case("cca-i-uncontrolled", CCR, 4011, one_service(SOME, 30))
case("cca-i-no-credit", CCR, 4012, one_service(SOME, 5, name="A3"))
case("cca-i-not-entitled", CCR, 5003, one_service(SOME, 40))
case("cca-i-no-context", CCR, 5031, opened(service_context_id="9.99999@3gpp.org"))
case("cca-i-unknown-user", CCR, 5030, opened(subscription_ids=NOBODY))
case("cca-i-open-already", CCR, 5012, opened_twice)
case("cca-i-unsupported", CCR, 5001, opened(edit=lambda ccr: with_more(ccr, UNKNOWN)))
case(
    "cca-i-value",
    CCR,
    5004,
    opened(edit=lambda ccr: with_other(ccr, 416, encode_i32(416, 5))),
)
case("cca-i-missing-text", CCR, 5005, opened(edit=lambda ccr: without(ccr, 461)))
case("cca-i-missing-number", CCR, 5005, opened(edit=lambda ccr: without(ccr, 416)))
case("cca-i-missing-session", CCR, 5005, opened(edit=lambda ccr: without(ccr, 263)))
case(
    "cca-i-not-allowed",
    CCR,
    5008,
    opened(edit=lambda ccr: with_more(ccr, encode_grouped(431, b"")), origin_host=STRICT),
)
case("cca-i-twice", CCR, 5009, opened(edit=lambda ccr: with_more(ccr, encode_u32(415, 1))))
case("cca-i-long", CCR, 5014, opened(edit=lambda c: with_other(c, 415, encode_u64(415, 0))))
case("cca-i-other-realm", CCR, 3003, opened(destination_realm="other.example", proxy_infos=PROXY))
case("cca-i-other-host", CCR, 3002, opened(destination_host="ocs2.ocs.example"))
case("cca-i-busy", CCR, 3004, after_the_goodbye)
case("cca-i-loop", CCR, 3005, opened(route_records=[OCS_HOST]))
case("cca-i-application", CCR, 3007, opened(edit=of_other_command(CCR, 16777238)))
case(
    "cca-i-error-bit", CCR, 3008, opened(edit=lambda ccr: with_flags(ccr, 0xE0)), broken_header=True
)
case(
    "cca-i-avp-bits",
    CCR,
    3009,
    opened(edit=lambda c: with_other(c, 415, encode_u32(415, 0, flags=0x41)), origin_host=STRICT),
)
case("unknown-command", 265, 3001, opened(edit=of_other_command(265, 4)))
case(
    "cca-u",
    CCR,
    2001,
    continued(mscc(100, {}, {"total": 10 * MB})),
    CC_Total_Octets=10 * MB,
    CC_Request_Type=UPDATE,
    CC_Request_Number=1,
)
case("cca-u-report", CCR, 2001, continued(mscc(100, used={"total": MB})), CC_Total_Octets=[])
case(
    "cca-u-redirected",
    CCR,
    2001,
    continued(mscc(100, used={"total": 4 * MB}), name="A9"),
    Rating_Group=100,
    CC_Total_Octets=[],
)
case("cca-u-unknown", CCR, 5002, of_no_session(UPDATE), CC_Request_Type=UPDATE)
case(
    "cca-t",
    CCR,
    2001,
    continued(mscc(100, used={"total": MB}), kind=TERMINATION),
    CC_Request_Type=TERMINATION,
    Rating_Group=100,
)
case("cca-t-unknown", CCR, 5002, of_no_session(TERMINATION), CC_Request_Type=TERMINATION)


# --------------------------------------------------------------------------------- events


def event(action: int | None, service: Any = None, **said: Any) -> Callable[[Stage], Answer]:
    """Return how an event is asked for; without ``service`` at command level."""
    account = said.pop("account", {})

    def ask(stage: Stage) -> Answer:
        with stage.session(SMS, **account) as session:
            if service is not None:
                return session.event(action, service, **said)
            units = ServiceUnits(service_specific=1)
            return session.event(action, requested=units, service_identifier=1, **said)

    return ask


def refund(stage: Stage) -> Answer:
    with stage.session(SMS) as session:
        debited = session.event(DEBIT, mscc(1, {"events": 1}))
        service = mscc(1, {"events": 1})
        service.refund_information = debited.service.refund_information
        return Dialogue(session.peer, session.subscriber, SMS).event(REFUND, service)


def terminated(*, known: bool, edit: Callable[[bytes], bytes] = lambda message: message):
    """Return how a session is ended with STR."""

    def ask(stage: Stage) -> Answer:
        with stage.session() as session:
            if known:
                session.initial(mscc(100, {}))
            peer = session.peer
            request = SessionRequest(
                STR,
                session.session_id,
                peer.origin_host,
                peer.origin_realm,
                OCS_REALM,
                termination_cause=1,
            )
            return peer.ask_for(edit(write_session_request(request, *peer.ids())))

    return ask


ONE = mscc(1, {"events": 1})
case(
    "cca-e-debit",
    CCR,
    2001,
    event(DEBIT, ONE),
    CC_Service_Specific_Units=1,
    CC_Request_Type=EVENT,
)
case("cca-e-one-service", CCR, 2001, event(DEBIT), CC_Service_Specific_Units=1, Rating_Group=[])
case("cca-e-refund", CCR, 2001, refund, CC_Service_Specific_Units=1)
case("cca-e-enough", CCR, 2001, event(CHECK, ONE), Check_Balance_Result=0)
case(
    "cca-e-not-enough",
    CCR,
    2001,
    event(CHECK, ONE, account={"name": "A3"}),
    Check_Balance_Result=1,
)
case(
    "cca-e-price",
    CCR,
    2001,
    event(PRICE, mscc(1, {"events": 3})),
    Value_Digits=21,
    Exponent=-2,
    Currency_Code=EUR,
)
case("cca-e-no-action", CCR, 5005, event(None, ONE))
case("cca-e-no-credit", CCR, 4012, event(DEBIT, account={"name": "A3"}))
case("cca-e-blocked", CCR, 4010, event(DEBIT, ONE, account={"name": "A4"}))
case("cca-e-unknown-user", CCR, 5030, event(DEBIT, ONE, subscription_ids=NOBODY))
case("sta", STR, 2001, terminated(known=True), Origin_Host=OCS_HOST)
case("sta-unknown", STR, 5002, terminated(known=False))
case("sta-missing", STR, 5005, terminated(known=True, edit=lambda m: without(m, 295)))
