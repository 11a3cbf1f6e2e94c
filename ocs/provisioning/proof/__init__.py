"""Does everything stored add up, and where does a charge come from?

audit      every invariant over all that is stored
recompute  a charge computed again from its record
why        one charge, step by step
"""
