"""A submission: one archive of Runs that a vendor sends and a customer checks. Knows no section of a report."""
