"""What credit control works with: requests and replies, stored records, one decision on its way.

messages       ChargingRequest and ChargingReply, what every front end translates to and from
profile        what differs between clients, as values
session        the stored session record: quotas, holds, claims, seen numbers
circumstances  what a client has said over a session that prices may look at
server_requests  what a client is asked by the server, and what came of it
working_set    the accounts, sessions and answers one transaction may read and change
limit_counts   which limits hold for a service, and where they are counted
decision       one request on its way to a reply, and the services in it
size           a grant before it is told to the client
"""
