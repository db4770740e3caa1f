"""The stand-in toolkit: built for the installed torch_npu with a C compiler, cached, switched on by variables. Knows no operator.

A CANN library is one shared object here, under all the names that torch_npu asks for. It exports every `aclnn` operator that the
wheel names; whether Python has it is decided when it is called.
"""

import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

_SOURCES = Path(__file__).parent / "cann"
_ROOT = Path(__file__).parents[1]
_LIBRARY = "libassay_cann.so"
_NAMES = (
    "libascendcl.so", "libhccl.so", "libacl_op_compiler.so", "libge_runner.so", "libgraph.so", "libopapi.so", "libacl_tdt_channel.so",
    "libascend_protobuf.so", "libfmk_parser.so", "libhcomm.so",
)  # fmt: skip
_REAL = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH")


class ToolkitError(Exception):
    """The stand-in cannot be built or used here; the text is one line and names the remedy."""


def wheel() -> tuple[str, Path]:
    """Return the version and the folder of the installed torch_npu. Raises ToolkitError: not installed."""
    try:
        distribution = importlib.metadata.distribution("torch_npu")
    except importlib.metadata.PackageNotFoundError:
        raise ToolkitError('torch_npu is not installed here: pip install "ascend-assay[npu]"') from None
    return distribution.version, Path(str(distribution.locate_file("torch_npu")))


def real_cann(environment: Mapping[str, str]) -> str:
    """Return where a real CANN or its driver is on this machine; empty if there is none."""
    places = [environment[name] for name in _REAL if environment.get(name)]
    places += ["/usr/local/Ascend/ascend-toolkit", "/usr/local/Ascend/cann", "/usr/local/Ascend/driver", "/dev/davinci_manager"]
    places += [str(Path(folder) / "libascendcl.so") for folder in environment.get("LD_LIBRARY_PATH", "").split(":") if folder]
    return next((place for place in places if Path(place).exists() and not _ours(Path(place))), "")


def _ours(place: Path) -> bool:
    return any((folder / inner / _LIBRARY).exists() for folder in (place, place.parent) for inner in (".", "lib64"))


def cache() -> Path:
    """Return the folder that built toolkits are kept in (ASSAY_CACHE, or the user's cache)."""
    chosen = os.environ.get("ASSAY_CACHE")
    return (Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("assay")) / "emulator"


def compiler() -> list[str]:
    """Return the C compiler as the beginning of a command: $CC, the system's, or that of the package ziglang. Raises ToolkitError."""
    if chosen := os.environ.get("CC"):
        return chosen.split()
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    try:
        importlib.metadata.distribution("ziglang")
    except importlib.metadata.PackageNotFoundError:
        raise ToolkitError("no C compiler (cc, gcc, clang) is found: install one, or: pip install ziglang") from None
    return [sys.executable, "-m", "ziglang", "cc"]


def operators(folder: Path) -> list[str]:
    """Return the names of all `aclnn` operators in the wheel's libraries, sorted."""
    found: set[bytes] = set()
    for library in sorted((folder / "lib").glob("lib*.so")):
        data = library.read_bytes()
        found.update(re.findall(rb"\0((?:aclnn|acl(?=Rfft1D|Stft))[A-Z0-9][A-Za-z0-9]*)(?=GetWorkspaceSize\0)", data))
    return sorted(name.decode() for name in found)


def key() -> str:
    """Return what a built toolkit depends on: torch_npu's version and platform, and a hash of the sources."""
    version, _ = wheel()
    digest = hashlib.sha256()
    for path in sorted([*_SOURCES.iterdir(), Path(__file__)]):
        digest.update(path.read_bytes())
    return f"torch_npu-{version}-{platform.machine()}-{digest.hexdigest()[:12]}"


def build() -> Path:
    """Return the folder of the toolkit, built unless it is there; at once or not at all. Raises ToolkitError."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise ToolkitError(f"the emulator runs on Linux, x86-64 or aarch64, and not on {platform.system()} {platform.machine()}")
    if found := real_cann(os.environ):
        raise ToolkitError(f"a real CANN is on this machine ({found}): the emulator stays away, use the NPU")
    final = cache() / key()
    if (final / "lib64" / _LIBRARY).exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=final.parent, prefix=".partial-"))
    try:
        _compile(partial / "lib64")
        partial.replace(final)
    except OSError as error:
        if not (final / "lib64" / _LIBRARY).exists():  # unless another process was faster
            raise ToolkitError(f"{final}: cannot be written ({error.strerror}); name another folder with ASSAY_CACHE") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def _compile(folder: Path) -> None:
    folder.mkdir()
    exports = folder / "exports.c"
    exports.write_text(_exports(operators(wheel()[1])))
    sources = [str(path) for path in sorted(_SOURCES.glob("*.c"))]
    flags = ["-std=gnu11", "-O1", "-fPIC", "-shared", "-pthread", "-Wno-psabi", f"-I{_SOURCES}", "-Wl,-soname," + _LIBRARY]
    command = [*compiler(), *flags, *sources, str(exports), "-lm", "-o", str(folder / _LIBRARY)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except OSError as error:
        raise ToolkitError(f"the C compiler {command[0]} does not start ({error.strerror}); set CC to one that does") from error
    if done.returncode:
        raise ToolkitError(f"the C compiler {command[0]} failed:\n{done.stderr}")
    for name in _NAMES:
        (folder / name).symlink_to(_LIBRARY)
    for name in ("opp", "runtime", "compiler"):  # torch_npu looks whether these folders of an installation are there
        (folder.parent / name).mkdir()


def _exports(names: list[str]) -> str:
    """Return C source that exports every operator, every collective, and whatever else the wheel's libraries need to load."""
    written = "".join(path.read_text() for path in _SOURCES.glob("*.c"))
    needed = {name for name in _undefined(wheel()[1]) if not re.search(rf"\b{name}\(", written)}
    immediate = sorted({*(n for n in needed if n.startswith("Hccl")), *_COLLECTIVES})
    refused = sorted(needed - set(immediate))
    lines = ["/* Generated. */", '#include "call.h"', "const char *const assay_names[] = {"]
    lines += [f'    "{name}",' for name in [*names, *immediate]]
    lines += ["};", f"const int assay_name_count = {len(names) + len(immediate)};"]
    lines += [f"OPERATOR({index}, {name})" for index, name in enumerate(names)]
    lines += [f"IMMEDIATE({index}, {name})" for index, name in enumerate(immediate, len(names))]
    lines += [f"REFUSED({name})" for name in refused]
    return "\n".join(lines) + "\n"


#: Looked up by torch_npu when first used. What is missing here it takes for an older HCCL's and does without.
_COLLECTIVES = (
    "HcclGetRootInfo", "HcclCommInitRootInfo", "HcclCommInitRootInfoConfig", "HcclCommInitAll", "HcclCommDestroy", "HcclSetConfig",
    "HcclAllReduce", "HcclReduce", "HcclBroadcast", "HcclAllGather", "HcclAllGatherV", "HcclReduceScatter", "HcclReduceScatterV",
    "HcclScatter", "HcclAlltoAll", "HcclAlltoAllV", "HcclSend", "HcclRecv", "HcclBatchSendRecv", "HcclGroupStart", "HcclGroupEnd",
)  # fmt: skip


def _undefined(folder: Path) -> set[str]:
    """Return the C functions of CANN without which the wheel's libraries do not load."""
    from elftools.elf.elffile import ELFFile  # here: only a build needs it

    found = set()
    for library in [*(folder / "lib").glob("lib*.so"), *folder.glob("_C*.so")]:
        with library.open("rb") as file:
            symbols: Any = ELFFile(file).get_section_by_name(".dynsym")
            for symbol in symbols.iter_symbols():
                if symbol["st_shndx"] == "SHN_UNDEF" and re.match(r"(acl|Msprof|Hccl|rt[A-Z])", symbol.name):
                    found.add(symbol.name)
    return found


def variables() -> dict[str, str]:
    """Build if need be and return the environment variables that switch the stand-in on. Raises ToolkitError."""
    library = str(build() / "lib64")
    paths = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path and not _ours(Path(path))]
    python = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    if _ROOT.name != "site-packages":  # a checkout, which Python does not find by itself
        python = [*dict.fromkeys([*python, str(_ROOT)])]
    return {
        "ASSAY_EMULATOR": "1",
        "LD_LIBRARY_PATH": ":".join([library, *paths]),
        "ASCEND_HOME_PATH": str(Path(library).parent),
        "ASCEND_OPP_PATH": str(Path(library).parent / "opp"),
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "1",
    } | ({"PYTHONPATH": ":".join(python)} if python else {})
