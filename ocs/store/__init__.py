"""Where money and answers live: one narrow interface, in memory and in SQL.

interface       what charging and provisioning may ask of a store
memory          a complete store in dictionaries, for tests, dry runs and demonstrations
schema          the tables; records: what is in their blobs
sql             the Store on SQLite and PostgreSQL
transactions    run, run again after a lost race, or say what happened (failures: what errors mean)
hot, cold       what a batch loads and writes; the rows that few transactions write
postgres, arrays, sqlite    the hot statements of each engine
dialects        how a database is opened, and whether it is durable
reading, reports, ledger_reports, audit_reports     lists and searches for people, and the audit
retention, backup   pruning, copies and restoring
migrations      every change of the schema since its first release (Alembic)
"""
