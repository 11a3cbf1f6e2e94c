"""The fuzzer of the message readers and of a connection: `make fuzz`, and a short run in the tests.

``mutations`` damages messages, ``seeds`` are what it begins with, ``targets`` say what must hold
whatever arrives, ``__main__`` runs for as long as one likes.
"""
