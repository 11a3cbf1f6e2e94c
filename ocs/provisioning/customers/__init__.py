"""Subscribers, the accounts they share, and all that is done to them and their money.

subscribers, subscriber_import, members, friends, states, erasure   people and numbers
accounts, postings, transfers, vouchers, credit_limits, caps        money
schedules                                                            what is to come
"""
