"""Definitions of torch_npu's fused operators, composed of small ones. They take what the operators take, as far as cases use it.

Source, where a module names no other: torch_npu's API documentation (https://www.hiascend.com/document, "Ascend Extension for PyTorch",
and the operators' pages of cann/op-plugin), restated as formulas.
"""
