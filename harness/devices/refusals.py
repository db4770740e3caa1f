"""What devices say when they cannot: the texts that mean "no such operator or dtype" and "out of memory". Knows no device."""

import re

import torch

# Each pattern, with a text that was really seen (or is in the library's binary). They are narrow on purpose: an unsupported case does
# not fail a run, so a program's own mistake must not pass for one. PyTorch raises most of these as NotImplementedError.
UNSUPPORTED: tuple[tuple[str, str], ...] = (
    (r"[\"']\w+[\"'] not implemented for '\w+'", "\"addmm_impl_cpu_\" not implemented for 'Half'"),
    (r"Could not run '[\w:.]+' with arguments from the '\w+' backend", "Could not run 'aten::dot' with arguments from the 'CPU' backend"),
    (r"[Tt]he operator '[\w:.]+' is not currently (implemented|supported)", "The operator 'aten::x' is not currently implemented for"),
    (r"not implemented for DT_\w+, should be in dtype support list", "x not implemented for DT_DOUBLE, should be in dtype support list"),
    (r"aclnn\w+ or aclnn\w+GetWorkspaceSize not in", "aclnnTopk or aclnnTopkGetWorkspaceSize not in libopapi.so, or libopapi.sonot found."),
    (r"operator \w+ is not emulated", "emulated CANN: operator aclnnFoo is not emulated (python -m emulator --list shows what is)"),
    (r"CPU fallback is disabled by TORCH_NPU_FALLBACK_CPU_DISABLE", ", but CPU fallback is disabled by TORCH_NPU_FALLBACK_CPU_DISABLE=1."),
    (r"ERR01007 OPS feature not supported", "Only contiguous_format is supported. [ERROR] ERR01007 OPS feature not supported"),
    (r"is not differentiable with respect to argument '\w+'", "The function 'stft' is not differentiable with respect to argument 'x'"),
    (r"Current CANN version do not support this api", "Current CANN version do not support this api: npu_quant_max."),
    (r"CUBLAS_STATUS_NOT_SUPPORTED", "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx(...)`"),
    (r"MKL FFT doesn't support tensors of type", "MKL FFT doesn't support tensors of type: Half"),
    (r"Low precision dtypes not supported", "linalg.inv: Low precision dtypes not supported. Got Half"),
    (r"^Unsupported dtype \w+$", "Unsupported dtype Half"),
)  # fmt: skip

OUT_OF_MEMORY: tuple[tuple[str, str], ...] = (
    (r"DefaultCPUAllocator: (can't allocate|not enough) memory", "DefaultCPUAllocator: can't allocate memory: you tried to"),
    (r"\b(NPU|CUDA) out of memory\b", "NPU out of memory. Tried to allocate 52.00 MiB (NPU 0; 60.96 GiB total capacity)"),
    (r"CUDA error: out of memory", "CUDA error: out of memory"),
    (r"CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)  # fmt: skip


def says_unsupported(error: BaseException) -> bool:
    """Tell whether `error` is the device's or the framework's own word that it has no such operator or dtype.

    A NotImplementedError is, unless it has no text: then it is a method that the program lacks.
    """
    if not isinstance(error, RuntimeError) or says_out_of_memory(error):
        return False
    text = str(error).strip()
    if isinstance(error, NotImplementedError):
        return bool(text)
    return any(re.search(pattern, text) for pattern, _ in UNSUPPORTED)


def says_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` means that memory, of the device or of the host, did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(re.search(pattern, str(error)) for pattern, _ in OUT_OF_MEMORY)
