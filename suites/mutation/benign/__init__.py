"""Arithmetic that a sound device may do in place of the reference's: one module a family. None of it may alarm."""
