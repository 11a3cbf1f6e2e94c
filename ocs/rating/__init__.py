"""What a quantity costs and how much can be granted: exact, integer, pure.

pricing   cost of cumulative units under a price, and the most units an amount can pay
timeline  the same for seconds that run through several time bands
explain   the steps of a price in words, for `ocs price` and `ocs why`
"""
