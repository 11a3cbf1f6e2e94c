"""What is sold: services, plans, prices, allowances; immutable values versioned by number.

model     the values
calendar  which time band an instant falls in, and when the next one begins
matching  which service and which price rule a request meets
loader    a marked YAML document -> Catalog, or every Problem in it
"""
