"""What is sold: services, plans, prices, allowances; immutable values versioned by number.

model     the values
calendar  which time band an instant falls in, and when the next one begins
conditions  what prices may look at besides destination and time, and a request's label in each
tariffs   which price of a list holds, and the keys that lead to it again
matching  which service a request means; the price lists of a catalogue, made ready
versions  which published version is in force when

``loading`` makes a Catalog of a YAML document.
"""
