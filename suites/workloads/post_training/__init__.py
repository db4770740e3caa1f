"""Stages of post-training, each a plain PyTorch loop: what it minimizes, and its CASES. `loop.py` takes the steps."""
