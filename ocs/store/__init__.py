"""Where money and answers live: one narrow interface, in memory and in SQL.

interface   what charging and provisioning may ask of a store
memory      a complete store in dictionaries, for tests, dry runs and demonstrations
schema      the tables
sql         the hot path: load, decide, write, commit, set by set
dialects    what differs between SQLite and PostgreSQL
reports     lists and searches for people, and the audit
migrations  every change of the schema since its first release (Alembic)
"""
