"""Cases of torch_npu's fused operators, a module a family. A candidate calls its own; reference and golden compose the definition."""
