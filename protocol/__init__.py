"""Diameter as this server speaks it: nothing here knows money, accounts or prices.

- `errors`: the two kinds of fault, ours and the peer's.
- `datatypes`, `dictionary`: the AVP formats of RFC 6733; names, types and flags of the AVPs.
- `codec`: messages and AVPs to and from octets, with limits.
- `describe`: any message as text for people.
- `base`: capabilities exchange, watchdog and disconnect as values; Result-Codes.
- `credit_control` and its readers and writers: RFC 8506 with the AVPs of TS 32.299.
- `service_information`: what rating and records need of Service-Information, read when asked.
- `watchdog`, `peer`: RFC 3539 and the peer connection, without any input or output.
- `transport`: the peer connection on Twisted.

Nothing in this package imports anything of `ocs`.
"""
