"""Shared helpers of the tests: servers they start, tools they need, and the rules they prove."""
