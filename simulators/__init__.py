"""Traffic for a charging server: simulated gateways and the subscribers behind them.

An honest outside client: it imports `protocol` and third-party packages, never the server.

- `scenarios`: what to simulate, read from a file and checked whole.
- `traffic`: sessions that really consume what they are granted, their schedule, the requests as
  different gateways write them, and the connections that carry them.
- `load`: prepared messages as load, at a fraction of the server's own cost.
- `reports`: what was measured, for people and for programs.
"""
