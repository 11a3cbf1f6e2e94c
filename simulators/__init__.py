"""Traffic for a charging server: simulated gateways and the subscribers behind them.

An honest outside client: it imports `protocol` and third-party packages, never the server.

- `document`: YAML as plain values that remember their lines.
- `scenario`: what to simulate, read from a file and checked whole.
- `quota`, `subscriber`: one session that really consumes what it is granted; no input or output.
- `avps`, `service_avps`, `shapes`: the requests as different gateways write them.
- `schedule`: which session acts next, in simulated time; no input or output.
- `gateway`: connections to the server on Twisted.
- `templates`, `prepared_connection`, `prepared`: prepared messages as load, at a fraction of the
  server's own cost.
- `report`: what was measured, as text and JSON.
"""
