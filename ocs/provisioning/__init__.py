"""What operators do: use cases shared by the command line and, later, the HTTP interface.

customers      subscribers, their accounts, and all that is done to their money
catalogues     checked, compared, published, rolled back, explained, tried on recorded usage
usage          usage that no gateway reports, and usage that waits for a person
proof          the audit of everything stored, and where a charge comes from

desk           what every use case works with: store, reports, clock, ids, who and why
identities     the kinds and the one spelling of subscriber identities
instants       times as people write them
views          values as the documented JSON shapes
sessions, session_requests   show, release, and what clients are asked
overdue        what is due for an account is done before an operator changes it
peers          allow and remove
records, events   charging data records and the outbox, as rows
maintenance    prune, backup, restore
"""
