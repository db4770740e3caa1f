"""DeepSeek V4 as plain functions of named weights, to be read from top to bottom. Knows no library of models and no device.

Read `config`, `samples` (padding and packing), `rotary`, `hyper_connections`, `compression`, `indexer`, `attention`, `experts`, `model`,
`losses`, in this order. The source is the technical report (arXiv 2606.19348), sections 2.1 to 2.3; what an equation leaves open
(names of weights, the place of an epsilon) is as in the published checkpoints. Weights bear the names that transformers gives them, so that
a state dict is a mapping that these functions take. Any floating dtype goes: float64 in, float64 throughout.
"""
