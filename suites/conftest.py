"""Options, parametrization and outcomes: where the suites meet pytest. Knows no workload."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from harness.case import Case
from harness.errors import AssayError
from harness.rounds import Budget
from harness.verdict import FAILING, Outcome, Verdict
from reference.waiver import Waiver, load
from reference.waiving import told
from suites import asking, parallel, standard
from suites.assets.language_model import resolve
from suites.catalogue import all_cases, choose
from suites.localise import explained
from suites.serving import asked as endpoint
from suites.session import Request, Session, parse
from suites.workloads.serving.parity import ENDPOINT

_CASES = pytest.StashKey[dict[str, Case]]()
_REQUEST = pytest.StashKey[Request]()
_SESSION = pytest.StashKey[Session]()
_WAIVERS = pytest.StashKey[Sequence[Waiver]]()
_OUTCOMES = pytest.StashKey[Counter[Outcome]]()
_MARKS = ("wide", "long")  # of a case, by which it can be left out or asked for


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that people and scripts rely on."""
    group = parser.getgroup("assay", "Assay: compare a candidate device with a reference")
    group.addoption("--device", metavar="NAME", help="candidate: cpu, cuda:0, npu:0 (default: the best device found)")
    group.addoption("--reference", metavar="NAME|RUN", default="cpu", help="a device here, or the folder of an earlier run (default: cpu)")
    group.addoption("--run", metavar="FOLDER", help="where the run is written (default: runs/<time>-<device>)")
    group.addoption("--resume", action="store_true", help="go on with an interrupted --run: finished cases are not repeated")
    group.addoption(
        "--model", metavar="ID|FOLDER", default="default", help="hub id or local folder with safetensors weights (default: embedded)"
    )
    group.addoption(
        "--waivers", metavar="FOLDER", help="known differences that somebody signed, a TOML file a kind of device (default: Assay's own)"
    )
    group.addoption(
        "--standard", metavar="HOW", default="quick",
        help="how much of the CANN standard's cases: quick, full, or figures such as count=100,seeds=200,repeats=50 (default: quick)",
    )  # fmt: skip
    group.addoption(
        "--budget", metavar="SECONDS", type=float, default=Budget.seconds,
        help="for the rounds of a performance case, both sides together (default: %(default)s); slow cases get up to three times as much",
    )  # fmt: skip
    group.addoption("--case", metavar="ID", action="append", default=[], help="run only this case (may be repeated)")
    group.addoption(
        "--task", metavar="NAME|FILE|group:DOMAIN", action="append", default=[],
        help="run only this task: Assay's, a file of questions, or lm-eval's from the hub (may be repeated; NAME[bfloat16]: that dtype)",
    )  # fmt: skip
    group.addoption("--samples", metavar="N", type=int, default=asking.SAMPLES, help="of each --task (default: %(default)s)")
    group.addoption(
        "--margin", metavar="POINTS", type=float, default=asking.MARGIN,
        help="within which the scores of a --task are equal (default: %(default)s)",
    )  # fmt: skip
    for name, how in endpoint.OPTIONS:
        group.addoption(name, **how)
    group.addoption("--localise", action="store_true", help="after a failing case, find the first operator that is off by itself")


def pytest_configure(config: pytest.Config) -> None:
    """Check every option before anything runs."""
    if config.option.help:
        return
    # warnings are errors in this project's own tests; a library's warning must not end a user's run
    config.addinivalue_line("filterwarnings", "default")
    option = config.getoption
    try:
        asked = (option(f"--{name}") for name in ("reference", "run", "resume", "model", "waivers"))
        request = parse(endpoint.candidate(option), *asked)  # before the cases, which take seconds to list
        cases = standard.apply(_offered(config), option("--standard"))
        tasks = asking.cases(option("--task"), option("--samples"), option("--margin")) if option("--task") else {}
        cases |= {n: c.with_params(model=option("--model")) for n, c in tasks.items()}
        asked_of = endpoint.answerable(cases, option, tasks) if request.device == ENDPOINT else cases
        config.stash[_CASES] = choose(asked_of, option("--case") or tasks)
        config.stash[_REQUEST] = parallel.share(config, request)
        config.stash[_WAIVERS] = load(config.stash[_REQUEST].waivers, cases) if cases else ()
        if option("--model") != "default":
            resolve(option("--model"))
    except AssayError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_OUTCOMES] = Counter()


def _offered(config: pytest.Config) -> dict[str, Case]:
    """Return every case; none where xdist's workers will list them, and this process need not know a name that the user gave."""
    if parallel.controls(config) and not any(config.getoption(name) for name in ("--case", "--task", "--waivers")):
        return {}
    model = config.getoption("--model")
    return {n: c.with_params(model=model) if c.params.get("model") == "default" else c for n, c in all_cases().items()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `case` one case of each area that it is marked with."""
    if "case" not in metafunc.fixturenames:
        return
    areas = {mark.name for mark in metafunc.definition.iter_markers()}
    candidate = metafunc.config.stash[_REQUEST].device.split(":")[0]
    cases = [c for c in metafunc.config.stash[_CASES].values() if c.area in areas and c.only_on in (None, candidate)]
    metafunc.parametrize("case", [pytest.param(c, id=c.id, marks=_marks(c)) for c in cases])


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    return [getattr(pytest.mark, name) for name in _MARKS if getattr(case, name)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep of an item's area marks only its own case's, so that `-m inference` selects inference; drop tests left without a case.

    A long case is left out unless `-m` speaks of them or `--case` names it.
    """
    kept, long, asked = [], [], config.getoption("--case")
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        case = parameters.get("case")
        if isinstance(case, Case):
            item.own_markers = [m for m in item.own_markers if m.name in (case.area, "parametrize", *_MARKS)]
        if isinstance(case, Case) and case.long and "long" not in config.option.markexpr and case.id not in asked:
            long.append(item)
        elif isinstance(case, Case) or "case" not in parameters:
            kept.append(item)
    if long:
        config.hook.pytest_deselected(items=long)
    items[:] = parallel.without_timing(config, kept)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Open the Run once it is known that something will be run."""
    config = session.config
    if config.option.collectonly or not session.items:
        return
    try:
        for model in {
            case.params["model"] for item in session.items if isinstance(case := parallel.case_of(item), Case) and "model" in case.params
        }:
            resolve(str(model))  # the embedded model is converted when it is first needed
        config.stash[_SESSION] = Session(config.stash[_REQUEST], all_cases(), _progress(config), config.stash[_WAIVERS])
    except (AssayError, OSError) as error:
        raise pytest.UsageError(str(error)) from None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the workers."""
    if _SESSION in session.config.stash:
        session.config.stash[_SESSION].close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was compared with what, how it ended, and how to get the report."""
    run, outcomes = config.stash[_SESSION].run if _SESSION in config.stash else None, config.stash.get(_OUTCOMES, Counter())
    if parallel.controls(config):
        run, outcomes = parallel.gathered(config.stash[_REQUEST])
    if run is None:
        return
    comparison = run.manifest["comparison"]
    write = terminalreporter.write_line
    terminalreporter.section("assay")
    if comparison:
        sides = [
            f"{c.get('name')} ({c.get('hardware', 'unknown')}{', as its owner states' if c.get('stated') else ''})"
            for c in (comparison["candidate"], comparison["reference"])
        ]
        write(f"candidate {sides[0]}, reference {sides[1]}, {comparison['reference_kind']}")
        if comparison["self_comparison"]:
            write(f"NOT A COMPARISON BETWEEN DEVICES: {comparison['self_reason']}; it shows that the path works.")
        if comparison["emulated"]:
            write("EMULATED: this shows that the path works; it says nothing about the numerics or the speed of a real device.")
            for side in (comparison["candidate"], comparison["reference"]):
                if faults := side.get("versions", {}).get("seeded_faults"):
                    write(f"SEEDED FAULTS on {side['name']}: {faults}")
    write("verdicts: " + (", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items())) or "none"))
    if outcomes[Outcome.INCONCLUSIVE]:
        for verdict in run.verdicts():
            if verdict.outcome is Outcome.INCONCLUSIVE:
                write(f"cannot tell: {verdict.case}: {verdict.message}")
    for line in (*told(run.manifest.get("waivers", [])), *parallel.told(config)):
        write(line)
    write(f"run: {run.folder}")
    write(f"report: python -m reports {run.folder} -o report.html")


def _progress(config: pytest.Config) -> Callable[[Case, int], None] | None:
    """Return a writer of one line that is overwritten round by round, where there is a terminal."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not reporter.isatty:
        return None

    def show(case: Case, rounds: int) -> None:
        if case.rounds > 1:
            reporter.rewrite(f"{case.id}: round {rounds} of {case.rounds} ", erase=True)

    return show


@pytest.fixture(scope="session")
def assay(pytestconfig: pytest.Config) -> Session:
    """The session: records, judges and stores."""
    return pytestconfig.stash[_SESSION]


@pytest.fixture
def settle(pytestconfig: pytest.Config) -> Callable[[Verdict], None]:
    """A function that turns a verdict into the outcome of the test."""

    def apply(verdict: Verdict) -> None:
        pytestconfig.stash[_OUTCOMES][verdict.outcome] += 1
        if verdict.outcome is Outcome.UNSUPPORTED:
            pytest.skip(f"unsupported: {verdict.message}")
        if verdict.outcome is Outcome.INCONCLUSIVE:
            pytest.skip(f"cannot tell: {verdict.message}")
        if verdict.outcome is Outcome.WAIVED:
            pytest.xfail(f"waived: {verdict.message}")
        if verdict.outcome in FAILING:
            pytest.fail("\n".join([_explain(verdict), *_localised(pytestconfig, verdict)]), pytrace=False)

    return apply


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """A full disk or a device that does not open concerns every case: stop with one line; what is finished is kept."""
    try:
        return (yield)
    except AssayError as error:
        pytest.exit(f"assay: {error}", returncode=pytest.ExitCode.INTERNAL_ERROR)
    except OSError as error:
        place = error.filename or pyfuncitem.config.stash[_REQUEST].run
        text = f"assay: {place}: {error.strerror}; what is finished is kept: make room and go on with --resume"
        pytest.exit(text, returncode=pytest.ExitCode.INTERNAL_ERROR)


def _localised(config: pytest.Config, verdict: Verdict) -> list[str]:
    if not config.getoption("--localise"):
        return []
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    show = (lambda text: reporter.rewrite(f"{text[:120]} ", erase=True)) if reporter is not None and reporter.isatty else None
    return explained(verdict, config.stash[_CASES][verdict.case], config.stash[_REQUEST], show)


def _explain(verdict: Verdict) -> str:
    lines = [f"{verdict.case}: {verdict.outcome}", f"  {verdict.message}"]
    for finding in verdict.findings:
        if finding.outcome in FAILING:
            place = f" at {finding.where}" if finding.where else ""
            cause = f" [likely cause: {finding.cause}]" if finding.cause else ""
            lines.append(f"  {finding.outcome}: {finding.check} of {finding.subject}{place}: {finding.message}{cause}")
    for side, evidence in verdict.evidence.items():
        if "device" in evidence:
            lines.append(f"  {side}: {evidence['device']}, environment {evidence['environment']}")
    lines.append(f"  again: {verdict.reproduce}")
    return "\n".join(lines)
