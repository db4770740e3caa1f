"""What nn.MultiheadAttention asks for in inference, besides what all attention asks for. Knows no attention itself."""

import torch

from emulator.operator import plain

plain("TransformBiasRescaleQkv", "ttiooo", torch.ops.aten._transform_bias_rescale_qkv.default)
