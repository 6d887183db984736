"""Backends: the same set of operations, computed in different ways."""
