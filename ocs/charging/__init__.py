"""Credit control without a protocol: neutral requests in, decisions out; pure.

messages     ChargingRequest and ChargingReply, what every front end translates to and from
profile      what differs between clients, as values
session      the stored session record: quotas, holds, counters, seen numbers
working_set  the accounts, sessions and answers one transaction may read and change
engine       decide(): the RFC 8506 server state table over requests
serving      the services of one request: debit of what was used, then the next quota
usage        debits of reported usage; contexts says which units count, and in which charge context
parking      usage that cannot be debited, kept for a person
granting     the next quota as the client is told of it
sizing       how many units an account can pay for, and the holds for them
pools        quotas that are drawn on together
together     time and volume of one request, granted and charged together
dual_tariff  two quotas around a tariff switch
circumstances  what a client has said that prices may look at
metering     what a client is told about metering beside a grant
advice       advice of charge for clients that ask
lifecycle    what timers do: lost sessions, expired buckets
"""
