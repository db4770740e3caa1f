"""What the answer is, and where it came from: a live device, a recorded run, a float64 golden. Knows no suite and no report."""
