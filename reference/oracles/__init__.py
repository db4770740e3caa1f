"""Slow, plain float64 definitions of operators, written from the formula; autograd through them gives the golden gradients."""
