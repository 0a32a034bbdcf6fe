"""Changes the core a little, one change at a time, and asks the tests (mutmut); ends with 1 where too few notice.

python tests/mutants                          all of rules, wire and roles
python tests/mutants rules wire/json.py       some of it
python tests/mutants rules/slot.py --tests tests/proto/test_slot.py    ask these tests alone
python tests/mutants rules --resume           go on where the last run was stopped, and try again what no test killed
"""

import argparse
import ast
import json
import os
import shutil
import sys
import tomllib
from collections import Counter, defaultdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: Where mutmut keeps the mutated copy, and the verdicts.
WORK = ROOT / "mutants"
#: What the last run was asked for: mutmut takes a file that is not to be mutated for one that it has mutated already.
ASKED = WORK / "asked.json"
#: What it tells on its way, where the result is asked for as JSON.
LOG = WORK / "mutmut.log"

#: Mutants that change nothing which the tests may hold the core to, each with the reason.
JUSTIFIED = HERE / "justified.toml"

#: How much more time by the clock a mutant is given than mutmut would: it ends by CPU time, unless it sleeps.
PATIENCE = 100

#: The share of the other mutants that a failing test has to kill.
ENOUGH = 0.9


def main() -> int:
    words = _parser().parse_args()
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_PROFILE"] = "few"
    sys.dont_write_bytecode = False  # test modules are imported once for each mutant
    sys.path.insert(0, str(HERE))  # has the plugin that pyproject.toml names
    files = _files(words.what)
    _prepare(files, resume=words.resume)
    result = os.dup(1)
    if words.json:  # what mutmut tells on its way is no part of it
        os.dup2(os.open(LOG, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 1)

    from mutmut import __main__ as mutmut
    from mutmut.configuration import config
    from mutmut.workers import isolation, timeout

    config().only_mutate = files
    if words.tests:
        config().pytest_add_cli_args_test_selection = words.tests
    # CPU time tells what never ends; by the clock, a busy machine looks the same.
    isolation.register_timeout = lambda pid, timeout_s: timeout.register_timeout(pid, PATIENCE * timeout_s)
    try:
        mutmut._run((), words.processes)
    except SystemExit:
        raise SystemExit(f"no mutant was tried: {LOG if words.json else 'mutmut'} says why") from None
    report = _report(files)
    whole = "not checked" not in report["total"] and not report["stale"]
    if whole:  # and not stopped by Ctrl-C
        _check_setting(mutmut.get_mutant_runner(1))
    with open(result, "w") as told:
        print(json.dumps(report, indent=2) if words.json else _shown(report), file=told)
    return 0 if whole and report["total"]["score"] >= ENOUGH else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="*", help="files or folders below asap_proto; all of pyproject.toml's, if none")
    parser.add_argument("--resume", action="store_true", help="keep what the last run over the same files has killed")
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="ask these alone, which is quicker and kills less")
    parser.add_argument("--processes", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _files(what: list[str]) -> list[str]:
    """The files to mutate: those that are meant of those that may be."""
    allowed = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]["only_mutate"]
    files = [str(path) for path in sorted(Path("asap_proto").rglob("*.py"))]
    files = [path for path in files if any(fnmatch(path, each) for each in allowed)]
    if not what:
        return files
    meant = {each: [path for path in files if Path(path).is_relative_to(Path("asap_proto", each))] for each in what}
    if nothing := [each for each, found in meant.items() if not found]:
        raise SystemExit(f"asap_proto has no {nothing[0]} that is mutated")
    return sorted({path for found in meant.values() for path in found})


def _prepare(files: list[str], *, resume: bool) -> None:
    """Begin anew, or leave of the last verdicts only those of a failing test."""
    if not resume:
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir()
        ASKED.write_text(json.dumps(files))
    elif not ASKED.exists() or json.loads(ASKED.read_text()) != files:
        raise SystemExit("the last run was over other files: leave out --resume")
    for path in (_verdicts_of(file) for file in files):
        if path.exists():
            data = json.loads(path.read_text())
            kept = {name: code if code == 1 else None for name, code in data["exit_code_by_key"].items()}
            path.write_text(json.dumps(data | {"exit_code_by_key": kept}))


def _verdicts_of(file: str) -> Path:
    return WORK / f"{file}.meta"


def _check_setting(runner) -> None:
    """Try a mutant that is none: were it killed, so were all the others, and by nothing that they do.

    That the tests pass on the mutated copy, and fail where every call into it does, mutmut has made sure of by now.
    """
    from mutmut.state import state

    import asap_proto

    if not Path(asap_proto.__file__).is_relative_to(WORK):
        raise SystemExit(f"the tests ran {asap_proto.__file__}, which is not mutated")
    tests = list(state().duration_by_test)
    seconds = sum(state().duration_by_test.values())
    runner.submit("asap_proto.x_none__mutmut_1", tests, int(20 * seconds) + 60, seconds)
    if code := runner.wait_for_result().exit_code:
        raise SystemExit(f"without a mutant the tests end with {code} here, so no verdict counts")


def _report(files: list[str]) -> dict[str, Any]:
    from mutmut.__main__ import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    reasons = {_key(each): each["why"] for each in tomllib.loads(JUSTIFIED.read_text()).get("mutant", [])}
    used, counts, left = set(), defaultdict(Counter), []
    for file in files:
        path = _verdicts_of(file)
        for name, code in (json.loads(path.read_text())["exit_code_by_key"] if path.exists() else {}).items():
            # mutmut takes an error inside of pytest for a kill.
            verdict = "broken" if code == 3 else status_by_exit_code[code]
            if verdict != "killed":
                diff = get_diff_for_mutant(name, path=file)
                mutant = {"file": file.removeprefix("asap_proto/"), **_changed(diff)}
                found = reasons.keys() & {_key(mutant), _key(mutant | {"function": _function_of(name)})}
                used |= found
                if verdict in ("survived", "timeout") and (found or _is_wording(name, file)):
                    verdict = "justified"
                else:
                    left.append((name, verdict, diff))
            counts[file][verdict] += 1
    stale = [key for key in reasons if f"asap_proto/{key[0]}" in files and key not in used]
    total = sum(counts.values(), Counter())
    return {
        "files": {file: {**count, "score": _score(count)} for file, count in counts.items()},
        "total": {**total, "score": _score(total)},
        "left": [{"mutant": name, "verdict": verdict, "diff": diff} for name, verdict, diff in left],
        "stale": stale,
    }


def _is_wording(name: str, file: str) -> bool:
    """Whether it changes nothing but a sentence of an error or a fault, which is for people and no contract.

    That there is none any more is no wording.
    """
    import libcst as cst
    from mutmut.mutation.diff_apply import read_functions_from_index

    original, mutated = (
        ast.dump(_Wordless().visit(ast.parse(cst.Module([each]).code)))
        for each in read_functions_from_index(name, file)
    )
    return original == mutated


class _Wordless(ast.NodeTransformer):
    """Takes the sentences out of errors, which have them first, and of faults, which have them last."""

    def __init__(self) -> None:
        from asap_proto import errors  # the mutated copy's, which has to be imported by the tests

        self.errors = {*errors.__all__, "error"}

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        place = 2 if called == "Fault" else 0 if called in self.errors else len(node.args)
        if place < len(node.args) and isinstance(node.args[place], ast.Constant | ast.JoinedStr):
            text = node.args[place]
            if isinstance(text, ast.JoinedStr) or isinstance(text.value, str):
                node.args[place] = ast.Constant("a sentence")
        return node


def _key(mutant: dict[str, str]) -> tuple[str, str, str, str]:
    return mutant["file"], mutant["was"].strip(), mutant["now"].strip(), mutant.get("function", "")


def _function_of(name: str) -> str:
    """The name of the function that mutmut has changed: it puts classes before it, and an ``x``."""
    return (
        name.rpartition("__mutmut_")[0]
        .rpartition(".")[2]
        .removeprefix("x_")
        .rpartition("\N{LATIN LETTER LATERAL CLICK}")[2]
    )


def _changed(diff: str) -> dict[str, str]:
    """The lines that went and that came, each joined."""
    lines = diff.splitlines()[2:]
    return {
        "was": "\n".join(line[1:].strip() for line in lines if line.startswith("-")),
        "now": "\n".join(line[1:].strip() for line in lines if line.startswith("+")),
    }


def _score(count: Counter) -> float:
    tried = count.total() - count["justified"]
    return count["killed"] / tried if tried else 1.0


def _shown(result: dict[str, Any]) -> str:
    verdicts = sorted({key for count in result["files"].values() for key in count if key != "score"})
    lines = [f"# {each['mutant']}: {each['verdict']}\n{each['diff']}" for each in result["left"]]
    lines.append("".join([f"\n{'':40}", *(f"{verdict:>13}" for verdict in verdicts), f"{'score':>13}"]))
    for name, count in [*result["files"].items(), ("all", result["total"])]:
        cells = (f"{count.get(verdict, 0):13}" for verdict in verdicts)
        lines.append("".join([f"{name:40}", *cells, f"{count['score']:13.1%}"]))
    lines += [
        f"justified in vain, as it is no mutant or is killed: {': '.join(filter(None, key))}" for key in result["stale"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
