"""The CANN operator precision standard, carried out on a few operators of each level: its cases, corners, repeats and re-check."""
