"""Engines that continue and score text: one in this process, those behind --endpoint, and load for them. Knows no verdict."""
