"""What operators do: use cases shared by the command line and, later, the HTTP interface.

desk           what every use case works with: store, reports, clock, ids, who and why
identities     the kinds and the one spelling of subscriber identities
instants       times as people write them
views          values as the documented JSON shapes
subscribers    add, show, block, unblock, remove
subscriber_import   many subscribers from a CSV file, all or nothing
accounts       top-up, adjustment, refund
catalogs       check, publish, list, show
prices         the dry run of a price
sessions       show and release
reviews        accept or dismiss parked usage
peers          allow and remove
records        charging data records as CSV or JSON lines
why            the explanation of one ledger line
audit          the invariants of the ledger, over everything stored
maintenance    prune, backup, restore
"""
