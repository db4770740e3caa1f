"""Makes the report's path the very last line of `tox -e demo`, after tox's own summary. Knows nothing of what the demo does."""

import atexit

from tox.execute.api import Outcome
from tox.plugin import impl
from tox.tox_env.api import ToxEnv


@impl
def tox_after_run_commands(tox_env: ToxEnv, exit_code: int, outcomes: list[Outcome]) -> None:
    """Print the path when tox is done, if the demo has written the report."""
    report = tox_env.core["tox_root"] / "runs" / "demo" / "report.html"
    if tox_env.name == "demo" and report.exists():
        atexit.register(print, report)
