"""The command line: `python -m emulator` says what there is; `eval "$(python -m emulator env)"` switches it on. Knows no operator."""

import argparse
import json
import os
import shlex
import sys

from emulator import toolkit


def main(arguments: list[str] | None = None) -> int:
    """Print the status, or what `env` prints; what cannot be done is one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description="A stand-in for the CANN runtime: torch_npu without an Ascend.")
    parser.add_argument("--list", action="store_true", help="list every operator of torch_npu and whether it is emulated")
    commands = parser.add_subparsers(dest="command", metavar="env")
    env = commands.add_parser("env", help='print the variables that switch it on: eval "$(python -m emulator env)"')
    env.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    try:
        if options.command == "env":
            print(_variables(options.json))
        else:
            print(_status(options.list))
    except toolkit.ToolkitError as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 2
    return 0


def _variables(as_json: bool) -> str:
    variables = toolkit.variables()
    if as_json:
        return json.dumps(variables)
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _status(whole: bool) -> str:
    version, folder = toolkit.wheel()
    built = toolkit.cache() / toolkit.key()
    wheel = toolkit.operators(folder)
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")  # PyTorch is wanted, a device is not
    from emulator import bridge, fault, operator

    bridge.load()
    emulated = [name for name in wheel if name in operator.OPERATORS]
    collectives = [name for name in operator.OPERATORS if name.startswith("Hccl")]
    switched = "yes" if os.environ.get("ASSAY_EMULATOR") == "1" else 'no: eval "$(python -m emulator env)"'
    lines = [
        f"torch_npu       {version}",
        f"toolkit         {built if built.exists() else 'not built yet; `python -m emulator env` builds it'}",
        f"switched on     {switched}",
        f"real CANN       {toolkit.real_cann(os.environ) or 'none found'}",
        f"operators       {len(emulated)} of {len(wheel)} that this torch_npu can call; the others raise an error that names them",
        f"collectives     {len(collectives)}",
        f"seeded faults   {', '.join(sorted(fault.FAULTS))}",
        "It shows that a path works. It says nothing about the numerics or the speed of an Ascend.",
    ]
    if whole:
        lines += [f"{'yes' if name in operator.OPERATORS else 'no ':4} {name}" for name in wheel]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
