"""The doors that CI uses too: `nox` runs them all, `nox -s lint` one."""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "virtualenv"  # its pip knows --group, venv's may not
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # an absent Python is skipped, in CI too
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False

PYTHONS = ("3.11", "3.12", "3.13")
REFERENCES = {
    "0.1.0": "==0.1.0",
    "0.3.0": "==0.3.0",
    "0.5.0": "==0.5.0",
    "1.0.0": "==1.0.0",
    "newest": "",
}
AUDITED = ("asap_proto", "adapters", "docs/_ext", "examples", "noxfile.py")
PROPERTIES = ("tests/properties", "tests/proto", "tests/auth")
EXTRAS = {
    "": "import asap_proto",
    "asyncio": "import asap_adapters.asyncio",
    "trio": "import asap_adapters.trio",
    "sync": "import asap_adapters.sync",
    "redis": "import asap_adapters.stores.redis, asap_adapters.stores.portal",
    "postgres": "import asap_adapters.stores.postgres",
    "auth": "from asap_adapters.auth import jwt, known, manifests, signatures",
    "sync,zstd": "from asap_adapters._shared.inflate import ENCODINGS; assert 'zstd' in ENCODINGS",
    "all": "import asap_adapters.cli",
}


def show_pythons() -> None:
    """Put pyenv's real interpreters behind what PATH has: its shims refuse versions that are not selected."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    real = (str(folder) for version in PYTHONS for folder in root.glob(f"versions/{version}.*/bin"))
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *real])


show_pythons()


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the test suite on each Python."""
    install(session, "test")
    session.run("pytest", "--numprocesses=auto", *session.posargs)


@nox.session(default=False, python="3.11")
def thorough(session: nox.Session) -> None:
    """Try every property on thousands of examples, other ones each time: `nox -s thorough -- -k breaker` for some."""
    install(session, "test")
    # A property takes as long as it takes: the watch over tests that hang would end the run after five minutes of one.
    patience = ("--override-ini=faulthandler_timeout=0", "--hypothesis-profile=thorough")
    session.run("pytest", "--numprocesses=auto", *patience, *PROPERTIES, *session.posargs)


@nox.session
def core(session: nox.Session) -> None:
    """Reach every branch of the core in an environment that holds no runtime of the fronts."""
    install(session, "test", package=".")
    pytest = str(Path(session.bin, "pytest"))
    session.run("coverage", "run", pytest, "tests/proto", "tests/spec", *session.posargs)
    session.run("coverage", "report", "--fail-under=100")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Check who imports whom."""
    install(session, "layers", package=".")
    session.run("lint-imports", "--no-logo", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and layout; `nox -s lint -- --fix` mends what it can."""
    session.install("--group=lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *(() if "--fix" in session.posargs else ("--check", "--diff")))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages; a warning is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-WEqb", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and, for each extra, install it in a clean environment and import what it promises."""
    folder = Path(session.create_tmp(), "clean").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    session.install("build>=1.6")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder), silent=True)
    [built] = folder.glob("*.whl")
    session.chdir(folder)  # away from the checkout
    # The index is asked once, not for each extra: it is slow to ask, and slow to read.
    session.run("python", "-m", "pip", "wheel", "-q", f"--wheel-dir={folder}", f"{built}[all]")
    for extra, code in EXTRAS.items():
        python = clean_python(session, folder / (extra or "bare"))
        what = f"{built}[{extra}]" if extra else str(built)
        pip_install(session, python, what, "--no-index", f"--find-links={folder}")
        session.run(python, "-W", "error", "-I", "-c", code, external=True)
    session.run(str(Path(python).with_name("asap")), "--help", silent=True, external=True)


@nox.session
def audit(session: nox.Session) -> None:
    """Look for unsafe code of ours, and for known flaws in what `.[all]` brings; `-- --strict` skips nothing."""
    session.install("--group=audit")
    session.run("check-jsonschema", "--builtin-schema=vendor.dependabot", ".github/dependabot.yml")
    # What it found is told when it fails; its warnings about the comments that it heeds are no findings.
    session.run("bandit", "--quiet", "--configfile=pyproject.toml", "--recursive", *AUDITED, silent=True)
    folder = Path(session.create_tmp()).resolve()
    report, left = folder / "report.json", folder / "left.txt"
    resolve = ("python", "-m", "pip", "install", "--dry-run", "--ignore-installed", "--report", str(report))
    session.run(*resolve, ".[all]", silent=True)
    session.run("python", "tests/packaging/advisories.py", str(report), str(left))
    if reason := left.read_text().strip():
        (session.error if "--strict" in session.posargs else session.skip)(reason)


@nox.session(default=False)
def schemas(session: nox.Session) -> None:
    """Write the JSON Schemas that this version publishes; those of a version that is out stay as they are."""
    version = nox.project.load_toml("pyproject.toml")["project"]["version"]
    folder = Path("docs/published/schemas", version)
    if f"## [{version}]" in Path("CHANGELOG.md").read_text(encoding="utf-8"):
        session.error(f"{version} is out; raise the version in pyproject.toml, then write the schemas of the new one")
    install(session, package=".[cli]")
    shutil.rmtree(folder, ignore_errors=True)  # else what is no longer a noun would stay
    session.run("asap", "schema", "--all", "--out", str(folder), silent=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Run each benchmark once and at its smallest, to see that it runs; its figures mean nothing."""
    install(session, "bench")
    session.env["ASAP_BENCH_QUICK"] = "1"
    session.chdir("asv_bench")
    session.run("asv", "machine", "--yes", silent=True)
    session.run("asv", "check", "--python=same")
    session.run("asv", "run", "--python=same", "--quick", "--dry-run", "--show-stderr", *session.posargs)


@nox.session(default=False)
def bench_run(session: nox.Session) -> None:
    """Measure commits, each built and installed by itself: `nox -s bench_run -- HEAD~5..HEAD`."""
    asv(session, "run", "--show-stderr", *session.posargs)


@nox.session(default=False)
def bench_compare(session: nox.Session) -> None:
    """Show two measured commits beside each other: `nox -s bench_compare -- HEAD~1 HEAD`."""
    asv(session, "compare", *session.posargs)


@nox.session(default=False)
def bench_publish(session: nox.Session) -> None:
    """Make pages of what was measured, in asv_bench/.asv/html."""
    asv(session, "publish", *session.posargs)


@nox.session(default=False)
def regress(session: nox.Session) -> None:
    """Fail if anything takes a tenth more than at the commit before: `-- COMMIT --bench REGEX` for others, or some."""
    install(session)
    session.run("python", "asv_bench/regress.py", *session.posargs)


@nox.session(default=False)
def locust(session: nox.Session) -> None:
    """Let locust ask an echo agent for a while: `nox -s locust -- --users 100 --run-time 60s`; any failure fails."""
    install(session, "load")
    session.run("python", "asv_bench/load", *session.posargs)


@nox.session(python="3.13")
def interop(session: nox.Session) -> None:
    """Meet released peers: their clients against our servers, ours against theirs."""
    install(session, "test")
    folder = session.cache_dir.resolve() / "interop-refs"
    for name, version in REFERENCES.items():
        pip_install(session, clean_python(session, folder / name), f"asap-protocol{version}")
    session.run("pytest", "--numprocesses=auto", "tests/interop", f"--references={folder}", *session.posargs)


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Feed the core and the inflater to a fuzzer for a while: `nox -s fuzz -- --seconds 600` for longer."""
    install(session, "fuzz")
    session.run("python", "tests/fuzz", *session.posargs)


@nox.session(default=False)
def simulate(session: nox.Session) -> None:
    """Try new seeds of the simulation: `-- --seeds 9000 --jobs 4`, or `--seed 4711` to see one again; `-- --help`."""
    install(session, package=".")
    # After Ctrl-C it says which seeds are done.
    session.run("python", "tests/simulation", *session.posargs, interrupt_timeout=10)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Play faults with each store on each front, then rounds by chance; `-- --rounds 100 --seed 7` for rounds alone."""
    install(session, "test")
    if not session.posargs:
        session.run("pytest", "--numprocesses=auto", "tests/chaos/test_chaos.py", "--whole")
    # After Ctrl-C it ends what it has started, and says how many rounds are done.
    session.run("python", "tests/chaos", *session.posargs, interrupt_timeout=20)


@nox.session(python="3.11", default=False)
def mutants(session: nox.Session) -> None:
    """Change the core, and see whether tests fail: `nox -s mutants -- rules wire/json.py` for some of it."""
    install(session, "mutants")
    session.run("python", "tests/mutants", *session.posargs)


@nox.session
def contract(session: nox.Session) -> None:
    """Hold real servers to the description of their agent for a while; arguments as for `fuzz`."""
    install(session, "contract")
    session.run("python", "tests/fuzz/contract.py", *session.posargs)


@nox.session(default=False, python="3.11")
def shared(session: nox.Session) -> None:
    """Make one environment with what `docs`, `contract`, `bench` and `fuzz` install: CI runs them in it."""
    install(session, "docs", "contract", "bench", "fuzz")


def install(session: nox.Session, *groups: str, package: str = ".[all]") -> None:
    """Install the checkout, editable, with these dependency groups."""
    session.install("-e", package, *(f"--group={group}" for group in groups))


def asv(session: nox.Session, *words: str) -> None:
    """Run asv on the benchmarks, with an environment of its own for each commit."""
    session.install("--group=bench")
    session.chdir("asv_bench")
    session.run("asv", "machine", "--yes", silent=True)
    session.run("asv", *words)


def clean_python(session: nox.Session, folder: Path) -> str:
    """Make an environment apart from the session's, without a pip of its own, and tell its interpreter."""
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    if not Path(python).exists():
        session.run("python", "-m", "venv", "--without-pip", str(folder))
    return python


def pip_install(session: nox.Session, python: str, *what: str) -> None:
    """Install into the environment of that interpreter; the little that is imported there is compiled then."""
    session.run("python", "-m", "pip", "--python", python, "install", "-qU", "--no-compile", *what)
