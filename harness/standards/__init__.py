"""Rules that other people judge operators by, as pure functions on arrays: CANN's standard, msprobe, allclose, cosine. Knows no case."""
