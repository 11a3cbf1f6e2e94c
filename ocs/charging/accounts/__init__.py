"""The life of an account beside its requests: states, duties at their time, fees, notices.

agenda        what has to be done for an account, and when
duties        doing it, each thing at its instant
account_life  states, the steps between them, and what each refuses
allowances    free units and bonus money of a plan, put into an account
recurring     fees and renewals, period by period
coming        what will recur if nothing changes
rollover      what is left of an allowance when it is renewed
top_ups       what a top-up brings besides its money
exchange      money in another currency becomes the account's own
notices       what customers are told
"""
