"""Credit control without a protocol: neutral requests in, decisions out; pure.

engine     decide(): the RFC 8506 server state table over requests
serving    the services of one request: debit of what was used, then the next quota
adoption   how an open session comes to a new plan or a newer catalogue
advice     advice of charge for clients that ask
lifecycle  what timers do: lost sessions, expired buckets
rerating   what recorded usage costs under another catalogue

Below them: ``debits`` charges what was used, ``quotas`` says how much may be used next, ``counts``
keeps counts and limits, ``accounts`` what is done without a request, ``model`` what all work with.
"""
