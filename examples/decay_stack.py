"""A fit for every pixel
=====================

A decay curve fitted to every pixel of an image stack: 100,000 small problems in one call.

The stack is a fluorescence lifetime image: for each pixel, the arrival times of its photons after a laser
pulse. A measured one (an insect's seminal receptacle, 512 x 512 pixels, 19 million photons, by the authors of
the plugin, BSD-3-Clause) comes with a package of 27 MB whose own dependencies are not needed here::

    pip install --no-deps napari-flim-phasor-plotter sdtfile
    python examples/decay_stack.py                  # or a file of your own: decay_stack.py FILE.sdt

Without it the stack is simulated, and the picture says so: photographs of scikit-learn serve as maps of
amplitude and lifetime, the photons are drawn from them. ``--pixels 300`` fits the 300 brightest pixels only.

The model is a sum of two exponentials and a constant, five parameters; the fit is by maximum likelihood of
Poisson counts, as so few photons a bin demand. All parameters are logarithms, so that none becomes negative.
"""

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np
from numba import njit

from twophase_min import check_gradient, multistart

GROUP = 4  # time bins added up
FEWEST = 200  # photons; darker pixels are left out


@njit(error_model="numpy")  # a division by zero far from the solution gives inf, and a shorter step
def misfit(p, t, counts):
    """Negative log-likelihood per photon, and its gradient, at the logarithms of a1, a2, tau1, tau2, b."""
    a1, a2, tau1, tau2, b = np.exp(p[0]), np.exp(p[1]), np.exp(p[2]), np.exp(p[3]), np.exp(p[4])
    e1, e2 = a1 * np.exp(-t[0] / tau1), a2 * np.exp(-t[0] / tau2)
    step = t[1] - t[0]
    fall1, fall2 = np.exp(-step / tau1), np.exp(-step / tau2)
    f, g, photons = 0.0, np.zeros(5), 0.0
    for k in range(t.size):
        rate = e1 + e2 + b
        f += rate - counts[k] * np.log(rate)
        slope = 1.0 - counts[k] / rate
        g[0] += slope * e1
        g[1] += slope * e2
        g[2] += slope * e1 * t[k] / tau1
        g[3] += slope * e2 * t[k] / tau2
        g[4] += slope * b
        photons += counts[k]
        e1 *= fall1
        e2 *= fall2
    return f / photons, g / photons


def measured(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return times in ns from just behind the peak on, and the counts of every pixel and its neighbours."""
    from sdtfile import SdtFile

    file = SdtFile(str(path))
    counts = np.asarray(file.data[0], dtype=float)
    times = file.times[0] * 1e9
    whole = counts.sum(axis=(0, 1))
    first, last = int(whole.argmax()) + 2, int(np.flatnonzero(whole)[-1]) + 1
    padded = np.pad(counts, ((1, 1), (1, 1), (0, 0)))
    rows, columns = counts.shape[:2]
    counts = sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    last -= (last - first) % GROUP
    grouped = counts[:, :, first:last].reshape(rows, columns, -1, GROUP).sum(axis=3)
    return times[first:last:GROUP] - times[first], grouped


def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Draw photons from maps that are no measurement: one photograph's brightness, another's lifetimes."""
    from sklearn.datasets import load_sample_image

    t = np.arange(50) * 0.2
    bright = load_sample_image("china.jpg")[:400, :400].mean(axis=2)[:, :, None] / 255
    slow = 2.0 + 2.0 * load_sample_image("flower.jpg")[:400, :400, :1] / 255
    rates = 100 * bright * (0.6 * np.exp(-t / 0.6) + 0.4 * np.exp(-t / slow)) + 0.2
    return t, np.random.default_rng(0).poisson(rates).astype(float)


def find_data() -> Path | None:
    package = importlib.util.find_spec("napari_flim_phasor_plotter")
    if package is None or importlib.util.find_spec("sdtfile") is None:
        return None
    return Path(package.submodule_search_locations[0]) / "data/seminal_receptacle_FLIM_single_image.sdt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, default=find_data(), help="a stack of your own (.sdt)")
    parser.add_argument("--pixels", type=int, default=100_000, help="fit so many, the brightest")
    parser.add_argument("--output", type=Path, help="where to write the picture")
    parser.add_argument("--simulate", action="store_true", help="do not look for a measured stack")
    parser.add_argument("--workers", type=int, default=-1, help="threads; default: every core")
    asked = parser.parse_args()
    real = asked.file is not None and not asked.simulate
    t, stack = measured(asked.file) if real else simulated()
    photons = stack.sum(axis=2)
    chosen = np.flatnonzero(photons >= FEWEST)
    if chosen.size > asked.pixels:
        chosen = np.sort(chosen[np.argsort(-photons.ravel()[chosen], kind="stable")[: asked.pixels]])
    counts = stack.reshape(-1, t.size)[chosen]
    print(f"{'measured' if real else 'simulated'} stack of {photons.shape[0]} x {photons.shape[1]} pixels")

    # Both exponentials start with half of the first bin, at a fast and a slow time.
    starts = np.log([1.0, 1.0, 0.5, 3.0, 0.1]) + np.zeros((chosen.size, 5))
    starts[:, :2] += np.log(counts[:, :1] / 2 + 1)
    error, _ = check_gradient(misfit, True, starts[0], (t, counts[0]))
    print(f"gradient checked: relative error {error:.1e}")
    limits = {"gtol": 1e-5, "maxiter": 500, "convex_method": "memory-cg"}
    multistart(misfit, starts[:2], (t,), rows=(counts[:2],), jac=True, options=limits)  # compiles
    began = time.perf_counter()
    found = multistart(misfit, starts, (t,), rows=(counts,), jac=True, options=limits, workers=asked.workers)
    seconds = time.perf_counter() - began
    print(f"{chosen.size} fits in {seconds:.2f} s, {chosen.size / seconds:.0f} fits per second ({found.how})")
    print(f"{found.nfev.mean():.0f} evaluations each; {found.message}")

    amplitudes, lifetimes = np.exp(found.x[:, :2]), np.exp(found.x[:, 2:4])
    mean = (amplitudes * lifetimes).sum(axis=1) / amplitudes.sum(axis=1)
    well = found.success
    low, middle, high = np.percentile(mean[well], [5, 50, 95])
    print(f"mean lifetime: median {middle:.2f} ns, 5 to 95 % of the pixels {low:.2f} to {high:.2f} ns")
    brightest = int(photons.ravel()[chosen].argmax())
    draw(photons, chosen[well], mean[well], (t, counts[brightest], found.x[brightest]), real, asked.output)


def draw(photons, chosen, mean, one, real, output) -> None:
    """Draw the photons, the mean lifetime where a region of pixels was fitted, and one pixel's fit."""
    import matplotlib.pyplot as plt
    from scipy.ndimage import label

    fitted = np.full(photons.size, np.nan)
    fitted[chosen] = mean
    fitted = fitted.reshape(photons.shape)
    regions, _ = label(np.isfinite(fitted))
    fitted[np.bincount(regions.ravel())[regions] < 200] = np.nan  # lone pixels say nothing to the eye

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    figure.suptitle("Measured photons" if real else "Simulated photons: no measurement")
    shown = left.imshow(photons, vmin=0, vmax=np.percentile(photons, 98), cmap="gray")
    figure.colorbar(shown, ax=left, shrink=0.8, label="photons of a pixel and its neighbours")
    low, high = np.nanpercentile(fitted, [2, 98])
    colours = plt.get_cmap("viridis").with_extremes(bad="0.85")
    shown = middle.imshow(fitted, vmin=low, vmax=high, cmap=colours, interpolation="nearest")
    figure.colorbar(shown, ax=middle, shrink=0.8, label="mean lifetime, ns (grey: too dark)")
    middle.sharex(left)
    middle.sharey(left)
    for ax, title in ((left, "Photons"), (middle, "Mean lifetime")):
        ax.set(title=title, xticks=[], yticks=[])

    t, counts, p = one
    a1, a2, tau1, tau2, b = np.exp(p)
    right.semilogy(t, np.maximum(counts, 0.5), ".", color="black", label="measured" if real else "simulated")
    both = a1 * np.exp(-t / tau1) + a2 * np.exp(-t / tau2) + b
    right.semilogy(
        t, both, color="#D55E00", lw=2, label=f"fitted: {min(tau1, tau2):.2f} and {max(tau1, tau2):.2f} ns"
    )
    right.set(xlabel="time, ns", ylabel="photons a bin", title="The brightest pixel")
    right.legend()
    if output:
        figure.savefig(output, dpi=90)
        print(f"maps: {output}")
    plt.show()


if __name__ == "__main__":
    main()
