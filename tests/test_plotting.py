"""Pictures: what is in them, read back from the axes; and the detector's command line."""

import builtins
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from twophase_min import plotting  # noqa: E402
from twophase_min.detector import detect_swap  # noqa: E402
from twophase_min.detector.__main__ import main, read_columns  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


K = np.arange(40)
LOSS = 5.0 * np.exp(-K / 10) + 1e-3
NORM = np.where(K < 20, 1.0 + K / 10, 3.0 * np.exp(-(K - 20) / 6))
PHASE = np.where(K == 0, "start", np.where(K <= 22, "adam", "CG"))
SWAPS = [
    {"iteration": 22, "evaluations": 44, "loss": LOSS[22], "norm": NORM[22], "peak": NORM[20], "to": "CG"}
]
COLUMNS = {"iteration": K, "cost": 2.0 * K, "time": K / 100, "fun": LOSS, "grad_norm": NORM, "phase": PHASE}


class WithItems(dict):
    def __getattr__(self, name):
        return self[name]


RUNS = {
    "result": SimpleNamespace(history=SimpleNamespace(**COLUMNS), swaps=SWAPS, fun=LOSS[-1]),
    "result of mappings": {"history": COLUMNS, "swaps": SWAPS, "fun": LOSS[-1]},
    "history": SimpleNamespace(**COLUMNS, swaps=SWAPS),
    "attribute raising KeyError": WithItems(COLUMNS, swaps=SWAPS, history=None, phase_names=None),
    "codes": {
        **COLUMNS,
        "phase": np.where(K <= 22, 0, 1),
        "phase_names": ["adam", "CG"],
        "swaps": SWAPS,
    },
}


def line(ax, label):
    return next(one for one in ax.lines if one.get_label() == label)


@pytest.mark.parametrize("kind", RUNS)
def test_norm_against_loss_shows_phases_peak_and_swap(kind):
    ax = plotting.norm_against_loss(RUNS[kind])
    assert list(line(ax, "Adam").get_xdata()) == list(LOSS[:23])
    assert list(line(ax, "CG").get_xdata()) == list(LOSS[22:])
    assert line(ax, "Adam").get_color() != line(ax, "CG").get_color()
    assert list(line(ax, "swap").get_xdata()) == [LOSS[22]]
    assert list(line(ax, "peak of the norm").get_ydata()) == [NORM[20]]
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.xaxis_inverted()
    assert "→" in ax.get_xlabel()
    ax.figure.canvas.draw()


@pytest.mark.parametrize("form", ["two arrays", "pair", "names"])
def test_norm_against_loss_of_plain_arrays(form):
    run = {
        "two arrays": (LOSS, NORM),
        "pair": ((LOSS, NORM), None),
        "names": ({"loss": LOSS, "norm": NORM}, None),
    }
    first, second = run[form]
    ax = plotting.norm_against_loss(
        first, second, swap="norm-peak", direction="left", label="mine", title="T"
    )
    expected = detect_swap(LOSS, NORM)
    assert list(line(ax, "swap").get_xdata()) == [LOSS[expected.index]]
    assert line(ax, "mine")
    assert not ax.xaxis_inverted()
    assert ax.get_title() == "T"
    for swap, marks in ((expected, 1), (expected.index, 1), (-1, 1), (None, 0), ("never", 0)):
        ax = plotting.norm_against_loss(LOSS, NORM, swap=swap)
        assert sum(one.get_label() == "swap" for one in ax.lines) == marks


def test_a_way_back_is_marked_as_such_and_a_phase_labelled_once():
    phase = np.where(K < 10, "adam", np.where(K < 15, "CG", np.where(K < 25, "adam", "CG")))
    swaps = [{"iteration": 10, "to": "CG"}, {"iteration": 15, "to": "adam"}, {"iteration": 25, "to": "CG"}]
    ax = plotting.norm_against_loss({**COLUMNS, "phase": phase, "swaps": swaps})
    assert list(line(ax, "swaps").get_xdata()) == [LOSS[10], LOSS[25]]
    assert list(line(ax, "back to Adam").get_xdata()) == [LOSS[15]]
    assert [text.get_text() for text in ax.get_legend().get_texts()].count("Adam") == 1


def test_no_line_joins_what_a_jump_separates():
    """Property: a drawn line has a row and the next one only where the run went from one to the other."""
    phase = np.where(K < 10, "CG", np.where(K < 15, "adam", np.where(K < 25, "CG", "CG")))
    swaps = [
        {"iteration": 0, "from": "start", "to": "CG"},
        {"iteration": 9, "from": "CG", "to": "adam"},  # suspended: Adam goes on from its own state
        {"iteration": 14, "from": "adam", "to": "CG"},  # a trial from where Adam is
        {"iteration": 24, "from": "CG", "to": "CG"},  # the suspended phase resumes
    ]
    ax = plotting.norm_against_loss({**COLUMNS, "phase": phase, "swaps": swaps})
    joined = {tuple(pair) for one in ax.lines for pair in np.c_[one.get_xdata()[:-1], one.get_xdata()[1:]]}
    for row in K[1:]:
        assert ((LOSS[row - 1], LOSS[row]) in joined) == (row not in (10, 25)), row
    assert list(line(ax, "swap").get_xdata()) == [LOSS[14]]
    drawn = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(drawn) == len(set(drawn))


def test_the_marked_peak_is_one_of_the_curve_that_leads_to_the_swap():
    swaps = [{"iteration": 22, "from": "adam", "to": "CG", "peak": 9.0}]
    later = np.where(K > 30, 7.0, NORM)  # higher, but after the swap
    ax = plotting.norm_against_loss({**COLUMNS, "grad_norm": later, "swaps": swaps})
    assert list(line(ax, "peak of the norm").get_ydata()) == [NORM[20]]
    falling = NORM[::-1].copy()
    swaps = [{"iteration": 9, "from": "CG", "to": "adam"}, {"iteration": 15, "from": "adam", "to": "CG"}]
    phase = np.where(K < 10, "CG", np.where(K < 16, "adam", "CG"))
    ax = plotting.norm_against_loss(
        {**COLUMNS, "grad_norm": -np.sort(-falling), "phase": phase, "swaps": swaps}
    )
    assert line(ax, "largest norm"), "the norm fell all the way from where Adam began: no peak to show"


def test_values_that_are_not_finite_or_not_positive_are_drawn_around():
    loss, norm = LOSS.copy(), NORM.copy()
    loss[3], norm[5] = np.nan, np.inf
    ax = plotting.norm_against_loss(loss, norm)
    ax.figure.canvas.draw()
    ax = plotting.norm_against_loss(LOSS - 1.0, NORM)
    assert ax.get_xscale() == "linear"
    with pytest.raises(ValueError, match="finite"):
        plotting.norm_against_loss([np.nan], [1.0])


def test_convergence():
    ax = plotting.convergence({"both": RUNS["result"], "other": (2.0 * K, LOSS + 0.5 * (K % 2))}, offset=1e-4)
    assert list(line(ax, "both").get_xdata()) == list(2.0 * K)
    drawn = line(ax, "other").get_ydata()
    assert (np.diff(drawn) <= 0).all()
    assert line(ax, "both").get_ydata()[-1] == pytest.approx(LOSS[-1] - 1e-4)
    assert "evaluations" in ax.get_xlabel()
    stars = [one for one in ax.lines if one.get_marker() == "*" and len(one.get_xdata())]
    assert [list(one.get_xdata()) for one in stars] == [[44.0]]
    for x in ("time", "iteration"):
        assert plotting.convergence(RUNS["history"], x=x, best=False).lines
    assert len(plotting.convergence([RUNS["history"], RUNS["codes"]]).get_legend().get_texts()) == 2
    plotting.convergence({"a": {"fun": LOSS}}, x="iteration")


def test_comparison():
    runs = {
        name: [(K * 2.0, LOSS * (1 + 0.1 * s) * scale) for s in range(3)]
        for name, scale in (("a", 1), ("b", 2))
    }
    curves, finals = plotting.comparison(runs, title="T")
    assert list(line(curves, "a").get_ydata()) == pytest.approx(list(1.1 * LOSS))
    assert [text.get_text() for text in finals.get_yticklabels()] == ["a", "b"]
    curves.figure.canvas.draw()
    _, given = pyplot.subplots(1, 2)
    assert plotting.comparison({"a": [RUNS["result"]]}, axes=given)[0] is given[0]


def test_an_axes_that_is_given_is_drawn_into():
    _, ax = pyplot.subplots()
    assert plotting.norm_against_loss(LOSS, NORM, ax=ax) is ax
    assert plotting.convergence(RUNS["history"], ax=ax) is ax


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="grad_norm"):
        plotting.norm_against_loss(LOSS)
    with pytest.raises(ValueError, match="length"):
        plotting.norm_against_loss(LOSS, NORM[:-1])
    with pytest.raises(ValueError, match="direction"):
        plotting.norm_against_loss(LOSS, NORM, direction="up")
    with pytest.raises(ValueError, match="outside"):
        plotting.norm_against_loss(LOSS, NORM, swap=99)
    with pytest.raises(ValueError, match="cost"):
        plotting.convergence({"a": {"loss": LOSS}})
    for empty in (plotting.convergence, plotting.comparison):
        with pytest.raises(ValueError):
            empty({})
    with pytest.raises(ValueError, match="'a'"):
        plotting.comparison({"a": []})


def test_missing_matplotlib_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"twophase_min\[plot\]"):
        plotting.norm_against_loss(LOSS, NORM)


def test_matplotlib_is_not_imported_with_the_module():
    code = "import sys, twophase_min.plotting; assert 'matplotlib' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ------------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    ("head", "separator"),
    [
        ("epoch,train_loss,val_loss,grad_norm", ","),
        ("epoch;loss;val_loss;Gradient Norm", ";"),
        ("step\ttrain/loss\tval/loss\ttrain/grad_norm", "\t"),
        ("# epoch loss val_loss gnorm", " "),
    ],
)
def test_columns_are_recognised(tmp_path, head, separator):
    file = tmp_path / "log.csv"
    rows = [separator.join(f"{v:.17g}" for v in (k, LOSS[k], 9.0, NORM[k])) for k in K]
    file.write_text("\n".join([head, *rows]) + "\n\n")
    losses, norms, _, _ = read_columns(str(file))
    assert losses == list(LOSS)
    assert norms == list(NORM)


def test_columns_without_header_with_gaps_and_by_name(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("3,1\n2,\n,\n1,nan\n0.5,0.7\n")
    losses, norms, _, _ = read_columns(str(file))
    assert losses == [3, 2, 1, 0.5]
    assert np.isnan(norms[1])
    assert norms[3] == 0.7
    assert read_columns(str(file), "2", "1")[0][0] == 1
    file.write_text("a,b\n1,2\n")
    assert read_columns(str(file), "b", "a")[:2] == ([2.0], [1.0])
    for arguments in ((None, None), ("c", "a"), ("a", "a")):
        with pytest.raises(ValueError):
            read_columns(str(file), *arguments)
    for text in ("", "a,b\n", "1\n2\n", "loss,norm\nx,y\n"):
        file.write_text(text)
        with pytest.raises(ValueError):
            read_columns(str(file))


def test_command_prints_the_swap_and_writes_the_picture(tmp_path, capsys):
    file = tmp_path / "run.csv"
    np.savetxt(file, np.c_[LOSS, NORM], delimiter=",", header="loss,norm", comments="")
    assert main([str(file)]) == 0
    said = capsys.readouterr().out
    assert f"swap at index {detect_swap(LOSS, NORM).index}" in said
    assert "0.9 of its peak" in said
    assert (tmp_path / "run.png").stat().st_size > 10_000
    assert main([str(file), "--rule", "7", "--no-plot"]) == 0
    assert "swap at index 6" in capsys.readouterr().out
    assert main([str(file), "--rule", "norm-against-loss", "--output", str(tmp_path / "other.png")]) == 0
    assert (tmp_path / "other.png").exists()
    assert main([str(file), "--factor", "0.01", "--no-plot"]) == 0
    assert "no swap" in capsys.readouterr().out


def test_command_reports_unusable_input(tmp_path, capsys):
    assert main([str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err
    file = tmp_path / "run.csv"
    file.write_text("loss,norm\n1,2\n")
    assert main([str(file), "--rule", "no-such"]) == 2
    assert "no-such" in capsys.readouterr().err


def test_module_runs_as_a_command(tmp_path):
    file = tmp_path / "run.csv"
    np.savetxt(file, np.c_[LOSS, NORM], delimiter=",", header="loss,norm", comments="")
    done = subprocess.run(
        [sys.executable, "-m", "twophase_min.detector", str(file), "--no-plot"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "swap at index" in done.stdout


# ---- JSON lines --------------------------------------------------------------------------------------------


def test_the_command_reads_json_lines_as_it_reads_csv(tmp_path, capsys):
    """Property: one history gives one report, whichever of its two texts is read."""
    from scipy.optimize import rosen, rosen_der

    from twophase_min import minimize

    history = minimize(
        rosen, [-1.2, 1.0, 0.5], jac=rosen_der, options={"swap": "never", "maxiter": 60}
    ).history
    history.to_csv(tmp_path / "run.csv")
    history.to_json_lines(tmp_path / "run.jsonl")
    assert read_columns(str(tmp_path / "run.csv")) == read_columns(str(tmp_path / "run.jsonl"))
    shown = []
    for name in ("run.csv", "run.jsonl"):
        assert main([str(tmp_path / name), "--rule", "norm-against-loss"]) == 0
        shown.append(capsys.readouterr().out.replace(name, "").splitlines())
    assert shown[0][:-1] == shown[1][:-1]
    assert "61 readings of 'fun' and 'grad_norm'" in shown[0][0]
    assert (tmp_path / "run.png").exists()


def test_json_lines_of_a_training_log(tmp_path):
    """Nested members, members that come later, nulls, words, blank lines, a byte order mark."""
    file = tmp_path / "log"
    file.write_text(
        '\ufeff\n{"epoch": 0, "train": {"loss": 3.0, "grad_norm": 1.5}}\n\n'
        '{"epoch": 1, "note": "no numbers here"}\n'
        '{"epoch": 2, "train": {"loss": null, "grad_norm": 2.5}, "done": true}\n'
        '{"train": {"grad_norm": NaN, "loss": 1e-3}}\n'
    )
    losses, norms, loss_name, norm_name = read_columns(str(file))
    np.testing.assert_array_equal(losses, [3.0, np.nan, 1e-3])
    np.testing.assert_array_equal(norms, [1.5, 2.5, np.nan])
    assert (loss_name, norm_name) == ("train/loss", "train/grad_norm")
    assert read_columns(str(file), "train/grad_norm", "epoch")[0][0] == 1.5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"loss": 1, "grad_norm": 2}\n{"loss": 1,', "line 2 of .* is not a JSON object"),
        ('{"loss": 1, "grad_norm": 2}\n[1, 2]', "line 2 of .* is not a JSON object"),
        ('{"loss": 1}', "at least two columns"),
        ('{"a": 1, "b": 2}', "no column looks like the loss"),
        ('{"loss": null, "grad_norm": "high"}', "holds no numbers"),
        (
            '[{"loss": 1, "grad_norm": 2},\n {"loss": 1, "grad_norm": 1}]\n',
            "write JSON lines, an object a line",
        ),
    ],
)
def test_json_lines_that_are_none_are_refused_in_a_sentence(tmp_path, capsys, text, why):
    file = tmp_path / "log.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match=why):
        read_columns(str(file))
    assert main([str(file)]) == 2
    assert capsys.readouterr().err.startswith("twophase_min.detector: ")
