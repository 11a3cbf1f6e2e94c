"""Diameter as this server speaks it: nothing here knows money, accounts or prices.

- `errors`: the two kinds of fault, ours and the peer's.
- `datatypes`, `dictionary`: the AVP formats of RFC 6733; names, types and flags of the AVPs.
- `codec`: messages and AVPs to and from octets, with limits.
- `describe`: any message as text for people.
- `answers`: Result-Codes, and the answers that report a fault.
- `grammar`, `base`: command grammars as tables; capabilities exchange, watchdog and disconnect as
  values.
- `members`: the loop that reads AVPs into values, and which oddities a profile accepts.
- `credit_control`, `credit_control_groups`, `credit_control_reader`, `credit_control_writer`:
  RFC 8506 with the AVPs of TS 32.299, as values and as octets.
- `session_commands`: Re-Auth, Abort-Session and Session-Termination.
- `layout`, `credit_control_layout`, `layout_cache`: what has the form of earlier
  requests, read without a walk.
- `service_information`: what rating and records need of Service-Information, read when asked.
- `routing`: whether a request is for us.
- `watchdog`, `peer`: RFC 3539 and the peer connection, without any input or output, with what they
  are made of: `peer_settings` and `peer_events` for the owner, `capabilities`, `own_messages` and
  `pending` inside.
- `transport`: the peer connection on Twisted.

Nothing in this package imports anything of `ocs`.
"""
