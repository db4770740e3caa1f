"""Runs over time: kept, followed from night to night, and held against what was good before. Knows no suite, no device and no report."""
