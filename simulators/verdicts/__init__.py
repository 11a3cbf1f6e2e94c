"""Whether a run went as it should: what was expected of it, and whether the books agree with it."""
