"""Prepared messages as load: one process of little cost that asks as fast as is wanted."""
