"""What accounts count over days, weeks and months, and what follows from a count.

counters     the counts of prices, and what is held for what open sessions may use of them
limits       limits on units and money, of the plan and of the customer
bucket_caps  how much the buckets of one allowance pay in a period
"""
