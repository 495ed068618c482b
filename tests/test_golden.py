"""Every request of a thousand runs is what it was when `golden/streams.json` was written.

On the machine and with the libraries of that file byte for byte, elsewhere in what is portable; see
`golden.streams`. After a change that is meant to change runs: ``python tests/golden/streams.py --write``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden import streams

KEPT = streams.kept_streams()
CASES = streams.all_cases()
SAME = KEPT["fingerprint"] == streams.fingerprint()
GROUPS = sorted({name.split("/")[0] for name in CASES})
PAIRS = sorted(
    name.removesuffix("/python")
    for name, case in CASES.items()
    if name.endswith("/python") and name.removesuffix("python") + "numba" in CASES and not case.loose
)
"""Problem and options that either engine serves, where the path does not hang on the last bit."""


def of_group(group):
    return {name: case for name, case in CASES.items() if name.split("/")[0] == group}


def test_the_file_knows_every_case():
    assert list(KEPT["cases"]) == list(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_request_is_what_it_was(group):
    wrong = {}
    for name, case in of_group(group).items():
        now, kept = case.record().summary(), KEPT["cases"][name]
        if not SAME:
            wrong[name] = streams.differences(case, now, kept)
        elif now["sha256"] != kept["sha256"]:
            wrong[name] = [streams.where(now, kept)]
    told = [f"{name}: {'; '.join(what)}" for name, what in wrong.items() if what]
    assert not told, "\n".join(told)


@pytest.mark.parametrize("name", streams.REASONS)
def test_every_reason_occurs(name):
    """In the file, and so in the runs that are held against it."""
    texts = [text for kept in KEPT["cases"].values() for text in (*kept["reasons"], kept["message"])]
    assert any(streams.REASONS[name] in streams.template(text) for text in texts)


@pytest.mark.slow
@pytest.mark.parametrize("name", streams.RESUMED)
def test_a_resumed_run_asks_for_what_the_whole_one_would_have(name):
    resumed, whole = CASES[name].record(), streams.whole_run(name).record()
    entries = [kind for kind, _ in resumed.entries]
    after = list(resumed.lines())[entries.index("resume") + 1 : len(entries)]
    if "not exact" in resumed.results[-1]["message"]:
        assert any(text in name for text in ("-CG/", "no-trial-of-adam"))
        return
    asked = list(whole.lines())[: len(whole.entries)]
    assert after == (asked[-len(after) :] if after else [])
    for key in ("x", "fun", "jac", "status", "nit", "nfev", "njev", "swaps", "phases", "history"):
        assert resumed.results[-1][key] == whole.results[0][key], key


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_both_engines_give_the_same_reasons(name):
    reasons = []
    for engine in ("python", "numba"):
        summary = CASES[f"{name}/{engine}"].record().summary()
        _, _, ended_by = summary["message"].partition("What ended it: ")
        reasons.append([streams.rounded(text) for text in (*summary["reasons"], ended_by)])
    assert reasons[0] == reasons[1]


@pytest.mark.slow
def test_neither_order_nor_place_nor_hash_seed_matters(tmp_path):
    """Two fresh processes, in different directories, with different seeds of the hash."""
    script = Path(streams.__file__).resolve()
    path = os.pathsep.join([str(script.parents[2]), os.environ.get("PYTHONPATH", "")])
    for seed, place in (("1", tmp_path), ("2", script.parent)):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        kept = ["--dump" if seed == "1" else "--against", str(tmp_path / "kept")]
        command = [sys.executable, str(script), "--only", "wells/", *kept]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.strip().endswith("0 differ")


def test_a_change_is_noticed(tmp_path):
    """One bit of one request."""
    stream = CASES["wells/CG/python"].record()
    stream.save(tmp_path / "kept.npz")
    assert streams.first_difference(stream, tmp_path / "kept.npz") == ""
    before = stream.summary()
    x = stream.entries[10][1]["x0"]
    x[0] += abs(x[0]) * 2.0**-52
    assert stream.summary()["sha256"] != before["sha256"]
    assert "one of" in streams.where(stream.summary(), before)
    assert streams.first_difference(stream, tmp_path / "kept.npz").startswith("request 11: ")


def test_the_file_is_small_and_plain():
    text = streams.FILE.read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert json.loads(text) == KEPT
