"""How much a client may use next: sized by what can be paid, held, and told.

contexts     which units a service charges, and the charge context that they are counted in
sizing       how many units an account can pay for, and the holds for them
granting     the next quota as the client is told of it
pools        quotas that are drawn on together
together     time and volume of one request, granted and charged together
dual_tariff  two quotas around a tariff switch
metering     what a client is told about metering beside a grant
"""
