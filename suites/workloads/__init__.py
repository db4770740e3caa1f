"""Workloads: one module each, a function that reads top to bottom, then its CASES."""
