"""What accounts count over days, weeks and months, and what follows from a count.

counters     what is counted, and what open sessions claim of it: what the others stand on
prices       prices of all that is used in a period, and the money held for them
limits       limits on units and money, of the plan and of the customer
bucket_caps  how much the buckets of one allowance pay in a period
"""
