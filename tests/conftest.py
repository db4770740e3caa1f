"""What all tests share: property-based tests draw the same examples on every run and have no clock."""

from hypothesis import settings

settings.register_profile("assay", derandomize=True, deadline=None)
settings.load_profile("assay")
