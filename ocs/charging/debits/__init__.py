"""What was used is charged: sessions' reports and one-time events, refunds, and what is parked.

usage         debits of reported usage: buckets first, then money, by charge context
event_prices  what an event costs, before anything is taken
events        direct debiting, refund, balance check and price enquiry
refunds       refunds that name their debit: all of it or a part, once
sponsors      charges that somebody else pays
parking       usage that cannot be debited, kept for a person
"""
