"""What surrounds a run: the only reader of the process environment, and the description of host and software. Knows no device and no case.

PyTorch is imported inside functions only: `prepare` has to run before it is.
"""

import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import uuid
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
import psutil

_DEFAULTS = {
    # With torch_npu installed but no CANN, `import torch` itself fails if PyTorch loads its back ends by itself.
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    # OpenMP threads that spin while they wait make a step many times slower as soon as another process is busy.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    # tokenizers warns, and switches its threads off, if a library forks after they were used.
    "TOKENIZERS_PARALLELISM": "false",
    # PyTorch's own samples come in the order of a set: it must be the same in every process.
    "PYTHONHASHSEED": "0",
    # cuBLAS is deterministic only with a fixed workspace, which it reads once, when it starts.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # The same for collectives of Ascend NPUs.
    "HCCL_DETERMINISTIC": "true",
    # torch_npu otherwise computes an operator that the NPU lacks on the CPU, and the CPU would be judged in its place.
    "TORCH_NPU_FALLBACK_CPU_DISABLE": "1",
}

_PACKAGES = (
    "ascend-assay", "torch", "torch_npu", "numpy", "transformers", "tokenizers", "accelerate", "peft", "trl", "lm_eval", "datasets",
    "safetensors", "pandas", "matplotlib", "pytest", "pytest-benchmark", "triton", "torchao",
)  # fmt: skip

# Names whose values are recorded. What they match is still refused when name or value could tell a secret, a person or a host.
_RECORDED = (
    "OMP_*", "GOMP_*", "KMP_*", "MKL_*", "ONEDNN_*", "OPENBLAS_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ASCEND_*", "ACL_*", "ACLNN_*",
    "HCCL_*", "INF_NAN_MODE_ENABLE", "TASK_QUEUE_ENABLE", "CPU_AFFINITY_CONF", "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING",
    "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "PYTORCH_*ALLOC_CONF", "TORCH_*", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE", "ASSAY_EMULATOR", "ASSAY_EMULATOR_*",
)  # fmt: skip
_PRIVATE_NAME = re.compile(
    r"TOKEN(?!IZERS)|KEY|SECRET|PASS|PWD|CRED|AUTH|CERT|USER|LOGIN|HOST|URL|ADDR|PROXY|_IP(_|$)|SOCKET|PATH|HOME|DIR|FILE", re.IGNORECASE
)
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.,:;=+ -]{0,120}")  # no slash and no @: neither paths, which name people, nor URLs


def prepare() -> None:
    """Set the variables that a run needs, unless the user set them. Call it before PyTorch is imported: most are read once, then."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def child_environment() -> dict[str, str]:
    """Return the environment for a worker process: this one's, completed as by `prepare`."""
    return _DEFAULTS | dict(os.environ)


def cache_folder() -> Path:
    """Return where downloads and other things that can be made again may be kept (ASSAY_CACHE, or the user's cache). May not exist yet."""
    chosen = os.environ.get("ASSAY_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("assay")


def offline() -> bool:
    """Tell whether the Hugging Face hub is not to be asked, in the hub library's own terms."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


def emulated() -> bool:
    """Tell whether the stand-in for the CANN runtime is switched on: no NPU figure is then one of an NPU."""
    return os.environ.get("ASSAY_EMULATOR") == "1"


def visible_npus() -> list[int]:
    """Return the driver's numbers of the NPUs that this process sees, in its own order; empty: all, as the driver numbers them."""
    named = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", "").split(",")
    return [int(number) for number in named] if all(number.strip().isdigit() for number in named) else []


def host_may_stand_in() -> bool:
    """Tell whether an operator that an NPU lacks may be computed on the host, which then goes unseen but for a line in a log."""
    return os.environ.get("TORCH_NPU_FALLBACK_CPU_DISABLE") != "1"


def name_endpoint(url: str, model: str, hardware: str, timeout: float) -> None:
    """Let this process and its workers know which endpoint is the candidate: no file of a Run holds its address."""
    named = {"": url, "_MODEL": model, "_HARDWARE": hardware, "_TIMEOUT": f"{timeout:g}"}
    os.environ.update({f"ASSAY_ENDPOINT{name}": value for name, value in named.items()})


def endpoint() -> dict[str, str]:
    """Return what is known of the endpoint: url, model, hardware (its owner's words), timeout in seconds, and key; empty without one."""
    if not os.environ.get("ASSAY_ENDPOINT"):
        return {}
    named = {name: os.environ.get(f"ASSAY_ENDPOINT_{name.upper()}", "") for name in ("model", "hardware", "timeout", "key")}
    return {"url": os.environ["ASSAY_ENDPOINT"], **named}


def seeded_faults() -> str:
    """Return the faults that the emulator was told to make, names with commas between; empty where there are none."""
    return os.environ.get("ASSAY_EMULATOR_FAULTS", "") if emulated() else ""


def describe() -> dict[str, Any]:
    """Return the host and its software, JSON-able; it holds no host name, user name, path or secret.

    `memory_bytes` is what this process may use: the physical memory, or a container's limit if that is less.
    `usable_cores` are the logical cores this process may run on; `threads` is PyTorch's setting for work within an operator.
    """
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "architecture": platform.machine(),
        "cpu": cpu_model(),
        "logical_cores": os.cpu_count() or 1,
        "usable_cores": _usable_cores(),
        "memory_bytes": memory_bytes(),
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "packages": dict(_packages()),
        "variables": _variables(),
        "machine": machine(),
    }


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def commit() -> str:
    """Return the commit of the checkout that Assay runs from, with "+changes" where files differ from it; empty where there is none."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return ""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):  # no git, or a checkout that git does not trust
        return ""


@cache
def _packages() -> dict[str, str]:
    """Return the versions of those packages that are installed and can change a result."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _variables() -> dict[str, str]:
    """Return the environment variables that steer numerics or speed and can be shown to anybody."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if any(fnmatchcase(name, pattern) for pattern in _RECORDED) and not _PRIVATE_NAME.search(name) and _PLAIN_VALUE.fullmatch(value)
    }


@cache
def cpu_model() -> str:
    """Return the processor's product name, or on Linux for Arm, where the kernel has none, its implementer and part numbers."""
    fields: dict[str, str] = {}
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    if fields.get("model name"):
        return fields["model name"]
    if "CPU implementer" in fields:
        return f"{platform.machine()} implementer {fields['CPU implementer']} part {fields.get('CPU part', 'unknown')}"
    return platform.processor() or platform.machine()


@cache
def memory_bytes() -> int:
    """Return the bytes of memory that this process may use: the machine's, or less where a control group says so."""
    limits = [int(psutil.virtual_memory().total)]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = (_read(path) or "").strip()
        if text.isdigit():  # version 2 says "max" where there is no limit
            limits.append(int(text))
    return min(limits)


@cache
def machine() -> str:
    """Return 16 hexadecimal digits that are equal for two runs on one machine and do not tell which it is.

    They hash the installation's id with the processor and its cores. Containers of one image on equal hosts can share them.
    """
    installation = (_read("/etc/machine-id") or _read("/var/lib/dbus/machine-id") or "").strip()
    if not installation:
        address = uuid.getnode()
        installation = "" if address >> 40 & 1 else f"{address:x}"  # that bit marks an address made up for this process
    facts = f"assay:{installation}:{platform.machine()}:{cpu_model()}:{os.cpu_count()}"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
