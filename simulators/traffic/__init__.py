"""Simulated subscribers and gateways: what is asked, when, in which words, and over what."""
