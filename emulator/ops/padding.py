"""Padding by a constant, by reflection and by replication, and their backwards. Knows no sampling."""

import torch

from emulator.operator import plain

aten = torch.ops.aten

plain("ConstantPadNd", "tIso", aten.constant_pad_nd.default)
for _name, _stem in (("ReflectionPad", "reflection_pad"), ("ReplicationPad", "replication_pad")):
    for _dims in (1, 2, 3):
        plain(f"{_name}{_dims}d", "tIo", getattr(aten, f"{_stem}{_dims}d").default)
        plain(f"{_name}{_dims}dBackward", "ttIo", getattr(aten, f"{_stem}{_dims}d_backward").default)
