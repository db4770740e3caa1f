"""A stand-in for the CANN runtime, so that the real torch_npu runs on a machine with no Ascend.

Nobody imports it: it is switched on from the environment, as CANN itself is. It shows that a path works; it knows nothing of an
Ascend's numerics or speed.
"""
