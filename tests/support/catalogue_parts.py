"""Parts of catalogues that several tests write around."""

TIERS_AND_CALLS = """\
  tiers:
    contexts: 32251@3gpp.org
    rating_groups: [2]
    unit: octets
    quota: {slice: 1 MB}
  call:
    contexts: 32260@3gpp.org
    default: true
    unit: seconds
    destination_rated: true
    quota:
      slice: 1 min
      time_mechanism: {type: discrete, interval: 6 s}
      announcement: {identifier: 4, before_end: 20 s}
"""
"""Of `services`: data under a rating group of its own, and calls with all that a quota may say."""
