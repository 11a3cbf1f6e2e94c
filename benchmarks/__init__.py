"""`python -m benchmarks`: how fast the server is on this machine, and what that costs.

- `cases`: what is measured, and the ratios with their aims.
- `databases`: SQLite, PostgreSQL and no store at all, filled with subscribers.
- `server`: the program under test where there is no store.
- `load`: the program that makes the load, in a process of its own.
- `processes`: processor time and memory of processes, from /proc.
- `runner`: one set-up, its loads, its audit.
- `report`: the table and the JSON document.

Figures are compared inside one run of this program, never across machines.
"""
