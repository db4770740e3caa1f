"""What tox cannot say in its settings: it switches the emulator on, and prints the report's path or the score last. Knows not what runs.

`emulator = required` in an environment of tox.ini sets the variables of `python -m emulator env` for its commands, `tox exec` included;
with `if-possible` a machine that cannot have it (another system, a real CANN) goes without, and says why.
"""

import atexit
import json
import subprocess

from tox.config.sets import EnvConfigSet
from tox.execute.api import Outcome
from tox.plugin import impl
from tox.report import HandledError
from tox.session.state import State
from tox.tox_env.api import ToxEnv


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    """Add the setting `emulator`."""
    env_conf.add_config("emulator", of_type=str, default="off", desc="whether the CANN emulator is switched on: off, required, if-possible")


@impl
def tox_before_run_commands(tox_env: ToxEnv) -> None:
    """Build the emulator unless it is there, and let the environment's commands see it."""
    wanted = tox_env.conf["emulator"]
    if wanted == "off":
        return
    # not by tox_env.execute: `tox exec` captures nothing, and what is told would not be heard
    command = [str(tox_env.conf["env_python"]), "-m", "emulator", "env", "--json"]
    root, variables = tox_env.core["tox_root"], tox_env.environment_variables
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        tox_env.conf["set_env"].update(json.loads(done.stdout))
    elif wanted == "required":
        raise HandledError(done.stderr.strip())
    else:
        print(done.stderr.strip())


@impl
def tox_after_run_commands(tox_env: ToxEnv, exit_code: int, outcomes: list[Outcome]) -> None:
    """Print the path when tox is done, if the demo has written the report, and the score, if the mutants were run."""
    report = tox_env.core["tox_root"] / "runs" / "demo" / "report.html"
    if tox_env.name == "demo" and report.exists():
        atexit.register(print, report)
    scores = [line for outcome in outcomes for line in outcome.out.splitlines() if line.startswith("mutation: caught")]
    if tox_env.name == "mutation" and scores:
        atexit.register(print, scores[-1])
