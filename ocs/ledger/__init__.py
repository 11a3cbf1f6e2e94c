"""Whose money it is: buckets, holds and the movements between two sides.

account     values: Account, Bucket, Movement, the sides of the ledger
entries     the verbs: hold, release, debit, credit, expire; each changes buckets and says so
invariants  what must always add up
"""
