"""A checkpoint of a training run: weights, optimizer state and position in one safetensors file. Knows no stage and no device.

Nothing is pickled. Tensors lie under `model/<name>` and `optimizer/<parameter>/<key>`; what of the optimizer is no tensor (learning rate,
decay, betas), and the step, are JSON in the file's metadata, whose numbers are read back as the same doubles.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.errors import AssayError

_FORMAT = "1"


def save(path: Path, model: nn.Module, optimizer: Optimizer, step: int) -> None:
    """Write the state after `step` steps. Tied weights are written once. Raises OSError (disk full)."""
    state, names = optimizer.state_dict(), _names(model, optimizer)
    tensors = {f"model/{name}": value for name, value in _weights(model).items()}
    rest: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{names[index]}/{key}"] = value
            else:
                rest.setdefault(names[index], {})[key] = value
    told = {"format": _FORMAT, "step": str(step), "groups": json.dumps(state["param_groups"]), "rest": json.dumps(rest)}
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, path, metadata=told)


def restore(path: Path, model: nn.Module, optimizer: Optimizer) -> int:
    """Give a model and an optimizer over its parameters the state that was saved, in place, and return the step.

    Raises AssayError where the file cannot be read, or is of another model or optimizer.
    """
    told, tensors = _read(path)
    weights, names = _weights(model), _names(model, optimizer)
    saved = {name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")}
    if saved.keys() != weights.keys():
        raise AssayError(f"{path}: is of another model: {min(saved.keys() ^ weights.keys())} is on one side only; load it into its own")
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(saved[name])
    state: dict[int, dict[str, Any]] = {}
    rest = json.loads(told["rest"])
    for index, name in enumerate(names):
        prefix = f"optimizer/{name}/"
        entries = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if found := entries | rest.get(name, {}):
            state[index] = found
    groups = json.loads(told["groups"])
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except ValueError as error:
        raise AssayError(f"{path}: is of another optimizer ({error}); load it into its own") from error
    return int(told["step"])


def _read(path: Path) -> tuple[Mapping[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            if told.get("format") != _FORMAT:
                raise AssayError(f"{path}: format {told.get('format')!r}, this version reads {_FORMAT}; save it again")
            return told, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (OSError, SafetensorError) as error:
        raise AssayError(f"{path}: cannot be read ({error}); save it again") from error


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters, each once, and the buffers that belong to a saved model."""
    kept = model.state_dict().keys()
    return {**dict(model.named_parameters()), **{name: value for name, value in model.named_buffers() if name in kept}}


def _names(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """Return the name of each parameter of the optimizer, in the order of its state."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
