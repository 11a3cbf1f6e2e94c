"""The online charging server: rating, ledger, credit control, store and the running service.

Read in this order: charging/engine.py, ledger/, rating/, store/interface.py, then service/ and
app.py. docs/architecture.md draws the house.
"""

__version__ = "0.1.0"
