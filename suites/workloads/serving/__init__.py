"""What is asked of a serving engine: is it right, and what load does it bear? The candidate is an endpoint, whatever stands behind it."""
