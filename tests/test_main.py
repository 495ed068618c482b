"""The command ``python -m twophase_min``, and what importing the package costs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twophase_min import __main__ as command
from twophase_min import demo
from twophase_min.networks import MLP

ROOT = Path(__file__).parents[1]
SMALL = MLP([64, 6, 10], loss="cross_entropy", l2=1e-4)


@pytest.fixture
def task():
    return demo.make_task(seed=3, budget=12, net=SMALL, scale=0.3)


def test_the_command_prints_its_table_and_writes_the_picture(tmp_path, capsys):
    picture = tmp_path / "picture.png"
    code = command.main(
        ["--budget", "30", "--hidden", "8", "--seeds", "2", "--no-progress", "--output", str(picture)]
    )
    shown = capsys.readouterr().out
    assert code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    for name in (demo.TWO_PHASE, demo.ADAM, demo.CG, demo.LBFGS):
        assert f"\n{name} " in shown
    assert "swap at iteration" in shown
    assert "of 2 seeds" in shown
    assert "tuned on seeds 100 to 102 for another budget, hidden: --tune" in shown


def test_a_single_seed_without_picture_or_progress(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = command.main(["--budget", "10", "--hidden", "4", "--no-picture", "--no-progress", "--loss", "mse"])
    assert code == 0
    assert list(tmp_path.iterdir()) == []
    assert "two-phase ended at a lower train loss than" in capsys.readouterr().out


def test_the_progress_bar_goes_to_standard_error(tmp_path, capsys):
    command.main(["--budget", "60", "--hidden", "8", "--no-picture"])
    shown = capsys.readouterr()
    assert "/60 [" in shown.err, "the bar fills by gradient evaluations"
    assert "hands over to" in shown.out + shown.err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--budget", "1"],
        ["--seeds", "0"],
        ["--seed", "-1"],
        ["--hidden", "0"],
        ["--l2", "-1"],
        ["--start-scale", "0"],
        ["--learning-rate", "-1"],
        ["--loss", "hinge"],
        ["--swap", "norm-pek"],
        ["--swap", "-3"],
        ["--convex-method", "newton"],
        ["--output", "no/such/folder/picture.png"],
    ],
)
def test_wrong_input_is_refused_before_anything_runs(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(wrong)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]  # below the usage
    assert said.startswith("python -m twophase_min: error: ")
    assert wrong[0] in said


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    picture = str(tmp_path / "picture.nonsense")
    assert command.main(["--budget", "10", "--hidden", "4", "--no-progress", "--output", picture]) == 2
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1].startswith("no picture: ")
    assert "two-phase" in shown.out


def test_a_run_without_a_swap_says_so(capsys):
    command.main(
        ["--budget", "6", "--hidden", "4", "--learning-rate", "0.01", "--no-picture", "--no-progress"]
    )
    assert "no swap" in capsys.readouterr().out


def test_help_lists_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--seed", "--seeds", "--budget", "--hidden", "--loss", "--convex-method", "--swap",
                   "--batch-size", "--tune", "--output", "--no-progress"):  # fmt: skip
        assert option in shown


def test_without_scikit_learn_the_remedy_is_named(monkeypatch, capsys):
    monkeypatch.setattr(command, "_has", lambda module: module != "sklearn")
    assert command.main([]) == 2
    assert "pip install" in capsys.readouterr().err


def test_every_method_spends_the_budget_and_no_more(task):
    outcomes = demo.run_all(task, {"learning_rate": 0.01}, 0, demo.AdamSetting(0.01, 0, False))
    whole = task.net.objective(task.x, task.y)
    for name, outcome in outcomes.items():
        assert outcome.spent <= task.budget, name
        assert outcome.spent >= task.budget - 1, name
        assert outcome.loss == whole(outcome.w)[0], name
        assert outcome.accuracy == task.accuracy(outcome.w), name
        assert outcome.loss < whole(task.start)[0], name


@pytest.mark.parametrize("batch", [0, 100, 512])
def test_adam_alone_is_the_published_update_charged_by_the_data_it_reads(task, batch):
    """Replay the updates with plain NumPy; the best whole-data reading is what counts."""
    setting = demo.AdamSetting(0.02, batch, False)
    outcome = demo.adam_alone(task, setting)
    samples = len(task.x)
    data = task.net.finite_sum(task.x, task.y, batch_size=batch or samples, seed=task.seed)
    w, m, v = task.start.copy(), 0.0, 0.0
    used = step = epoch = 0
    losses = []
    while used < task.budget * samples:
        for indices in data.batches(epoch):
            if not batch:
                losses.append(data.value(w))
            g = data.batch_value_and_gradient(w, indices)[1]
            step, used = step + 1, used + len(indices)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w = w - 0.02 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
            if used >= task.budget * samples:
                break
        epoch += 1
        if batch:
            losses.append(data.value(w))
    assert outcome.spent == used / samples
    assert outcome.spent < task.budget + 1e-9 + (batch / samples)
    np.testing.assert_allclose(outcome.losses, losses, rtol=1e-8)
    assert outcome.loss == min(outcome.losses)


def test_cosine_decay_ends_at_a_vanishing_rate(task):
    plain = demo.adam_alone(task, demo.AdamSetting(0.02, 0, False))
    decayed = demo.adam_alone(task, demo.AdamSetting(0.02, 0, True))
    assert plain.losses[0] == decayed.losses[0]
    assert abs(decayed.losses[-1] - decayed.losses[-2]) < abs(plain.losses[-1] - plain.losses[-2])


def test_two_phase_on_mini_batches_charges_their_share(task):
    outcome = demo.two_phase(task, {"learning_rate": 0.01, "swap": 2}, batch=200)
    assert outcome.spent <= task.budget
    assert outcome.run.swaps
    assert outcome.loss < outcome.losses[0]


def test_tuning_takes_the_best_median(monkeypatch):
    monkeypatch.setattr(demo, "RATES", (0.001, 0.03))
    monkeypatch.setattr(demo, "BATCHES", (0, 256))
    made = {seed: demo.make_task(seed, 6, SMALL, 0.3) for seed in demo.TUNING_SEEDS}
    said = []
    best = demo.tune(made.__getitem__, said.append)
    medians = {
        setting: np.median([demo.adam_alone(task, setting).loss for task in made.values()])
        for setting in (
            demo.AdamSetting(rate, batch, cosine)
            for rate in (0.001, 0.03)
            for batch in (0, 256)
            for cosine in (False, True)
        )
    }
    assert set(demo.TUNING_SEEDS).isdisjoint(range(5))
    assert said
    # Readings within the run count in `adam_alone` with readings, the last one alone when tuning.
    assert medians[best] <= 1.05 * min(medians.values())


def test_the_verdict_counts_seeds_and_hides_no_loss(task):
    def outcome(loss):
        return demo.Outcome(task.start, loss, 0.5, 1.0, 0.1)

    runs = {
        demo.TWO_PHASE: [outcome(1.0), outcome(2.0)],
        demo.ADAM: [outcome(1.5), outcome(1.5)],
        demo.LBFGS: [outcome(0.5), outcome(0.5)],
    }
    assert "Adam alone on 1 of 2, SciPy L-BFGS-B alone on 0 of 2 seeds" in demo.verdict(runs)
    laid_out = demo.table(runs)
    assert "1.5000e+00" in laid_out  # the medians
    assert len({len(line) for line in laid_out.splitlines()}) == 1


# ---- the cost of importing

HEAVY = ("numba", "autograd", "matplotlib", "sklearn", "tqdm", "hypothesis")


@pytest.mark.parametrize(
    "statement",
    ["import twophase_min", "from twophase_min import minimize, twophase, FiniteSum, detect_swap, warmup"],
)
def test_importing_loads_nothing_heavy(statement):
    code = (
        f"import sys, numpy, scipy.optimize\n{statement}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    )
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_startup_benchmark_names_the_same_heavy_modules():
    """Its script asserts the same list while it measures."""
    text = (ROOT / "benchmarks" / "startup.py").read_text()
    for module in HEAVY:
        assert f'"{module}"' in text


@pytest.mark.parametrize(
    ("wrong", "listed"),
    [
        (["--swap", "nonsense"], "norm-against-loss"),
        (["--swap", "hessian"], "norm-peak"),
        (["--swap", "-3"], "no number of iterations"),
        (["--convex-method", "nonsense"], "memory-cg"),
    ],
)
def test_a_wrong_rule_or_method_is_one_sentence_that_lists_the_right_ones(wrong, listed, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(wrong)
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"python -m twophase_min: error: {wrong[0]} {wrong[1]!r} is none of ")
    assert listed in last


def test_the_help_lists_the_rules_and_the_methods(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # names have hyphens, at which lines are broken
    with pytest.raises(SystemExit):
        command.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name in (*command.SWAPS, *command.PHASES):
        assert name in text


def test_every_rule_that_the_command_offers_runs():
    from scipy.optimize import rosen, rosen_der

    from twophase_min import minimize

    for rule in command.SWAPS:
        assert minimize(rosen, [-1.2, 1.0], jac=rosen_der, options={"swap": rule, "maxiter": 3}).nit == 3
