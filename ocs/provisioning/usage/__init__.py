"""Usage that no gateway reports, and usage that waits for a person.

recording, usage_import  metered events by an idempotency key, one or many
reviews, unrated         what could not be debited, and what becomes of it
"""
