"""NIST's reference sets for nonlinear regression: data, models, starts and certified results.

The values, with 11 digits, were computed by NIST in extended precision: Statistical Reference Datasets,
https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml. The files are in `tests/data/nist`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "data" / "nist"


def decay(np, x, b1, b2):
    return b1 * (1 - np.exp(-b2 * x))


def exponentials(np, x, b1, b2, b3, b4, b5, b6):
    return b1 * np.exp(-b2 * x) + b3 * np.exp(-b4 * x) + b5 * np.exp(-b6 * x)


def two_peaks(np, x, b1, b2, b3, b4, b5, b6, b7, b8):
    peaks = b3 * np.exp(-((x - b4) ** 2) / b5**2) + b6 * np.exp(-((x - b7) ** 2) / b8**2)
    return b1 * np.exp(-b2 * x) + peaks


def cubic_by_cubic(np, x, b1, b2, b3, b4, b5, b6, b7):
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


def southern_oscillation(np, x, b1, b2, b3, b4, b5, b6, b7, b8, b9):
    year, first, second = 2 * np.pi * x / 12, 2 * np.pi * x / b4, 2 * np.pi * x / b7
    cycles = b5 * np.cos(first) + b6 * np.sin(first) + b8 * np.cos(second) + b9 * np.sin(second)
    return b1 + b2 * np.cos(year) + b3 * np.sin(year) + cycles


MODELS: dict[str, Callable[..., np.ndarray]] = {
    "Misra1a": decay,
    "Chwirut2": lambda np, x, b1, b2, b3: np.exp(-b1 * x) / (b2 + b3 * x),
    "Chwirut1": lambda np, x, b1, b2, b3: np.exp(-b1 * x) / (b2 + b3 * x),
    "Lanczos3": exponentials,
    "Gauss1": two_peaks,
    "Gauss2": two_peaks,
    "DanWood": lambda np, x, b1, b2: b1 * x**b2,
    "Misra1b": lambda np, x, b1, b2: b1 * (1 - (1 + b2 * x / 2) ** -2),
    "Kirby2": lambda np, x, b1, b2, b3, b4, b5: (b1 + b2 * x + b3 * x**2) / (1 + b4 * x + b5 * x**2),
    "Hahn1": cubic_by_cubic,
    "Nelson": lambda np, x, b1, b2, b3: b1 - b2 * x[0] * np.exp(-b3 * x[1]),
    "MGH17": lambda np, x, b1, b2, b3, b4, b5: b1 + b2 * np.exp(-x * b4) + b3 * np.exp(-x * b5),
    "Lanczos1": exponentials,
    "Lanczos2": exponentials,
    "Gauss3": two_peaks,
    "Misra1c": lambda np, x, b1, b2: b1 * (1 - (1 + 2 * b2 * x) ** -0.5),
    "Misra1d": lambda np, x, b1, b2: b1 * b2 * x * ((1 + b2 * x) ** -1),
    "Roszman1": lambda np, x, b1, b2, b3, b4: b1 - b2 * x - np.arctan(b3 / (x - b4)) / np.pi,
    "ENSO": southern_oscillation,
    "MGH09": lambda np, x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4),
    "Thurber": cubic_by_cubic,
    "BoxBOD": decay,
    "Rat42": lambda np, x, b1, b2, b3: b1 / (1 + np.exp(b2 - b3 * x)),
    "MGH10": lambda np, x, b1, b2, b3: b1 * np.exp(b2 / (x + b3)),
    "Eckerle4": lambda np, x, b1, b2, b3: (b1 / b2) * np.exp(-0.5 * ((x - b3) / b2) ** 2),
    "Rat43": lambda np, x, b1, b2, b3, b4: b1 / ((1 + np.exp(b2 - b3 * x)) ** (1 / b4)),
    "Bennett5": lambda np, x, b1, b2, b3: b1 * (b2 + x) ** (-1 / b3),
}
"""The models, with the NumPy to compute in, by NIST's order: from lower to higher difficulty."""


@dataclass(frozen=True, eq=False)
class Reference:
    """One set.

    Attributes
    ----------
    name : str
    x, y : ndarray
        Predictor, shape (m,) or (k, m), and response, shape (m,); of Nelson its logarithm.
    starts : ndarray, shape (2, n)
        NIST's starts, the far one and the near one.
    values, errors : ndarray, shape (n,)
        Certified parameters and their standard deviations.
    rss : float
        Certified residual sum of squares.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    starts: np.ndarray
    values: np.ndarray
    errors: np.ndarray
    rss: float

    def model(self, numpy=np):
        """Return the model as `curve_fit` takes it, computed in this NumPy: autograd's, or the plain one."""
        function = MODELS[self.name]
        return lambda x, *b: function(numpy, x, *b)


@cache
def load(name: str) -> Reference:
    """Read a set from its file."""
    lines = [line.split() for line in (FOLDER / f"{name}.txt").read_text("utf-8").splitlines()]
    table = np.array([line[1:] for line in lines if line[0].startswith("b")], dtype=float)
    rss = next(float(line[1]) for line in lines if line[0] == "rss")
    data = np.array([line for line in lines if line[0][0] not in "#br"], dtype=float).T
    y = np.log(data[0]) if name == "Nelson" else data[0]
    x = data[1] if len(data) == 2 else data[1:]
    return Reference(name, x, y, table[:, :2].T.copy(), table[:, 2], table[:, 3], rss)


def digits(found, certified) -> float:
    """Correct digits of the worst entry, NIST's log relative error; 0 to 11, as many as are certified."""
    with np.errstate(all="ignore"):
        error = np.abs(np.asarray(found) - certified) / np.abs(certified)
        least = -np.log10(np.max(error))
    return float(np.clip(np.nan_to_num(least, nan=0.0, posinf=11.0), 0.0, 11.0))


TERMS = {
    "Lanczos1": ((0, 1), (2, 3), (4, 5)),
    "Lanczos2": ((0, 1), (2, 3), (4, 5)),
    "Lanczos3": ((0, 1), (2, 3), (4, 5)),
    "MGH17": ((1, 3), (2, 4)),
    "Gauss1": ((2, 3, 4), (5, 6, 7)),
    "Gauss2": ((2, 3, 4), (5, 6, 7)),
    "Gauss3": ((2, 3, 4), (5, 6, 7)),
    "ENSO": ((3, 4, 5), (6, 7, 8)),
}
"""Parameters of terms of one form: which term is the first is not for the data to say."""


def order(reference: Reference, found) -> list[int]:
    """Return the indices that put the terms of a fit into the certified order."""
    terms = TERMS.get(reference.name, ())
    places = [i for term in terms for i in term]
    orders = []
    for permuted in permutations(terms):
        indices = np.arange(reference.values.size)
        indices[places] = [i for term in permuted for i in term]
        orders.append(indices.tolist())
    return max(orders, key=lambda indices: digits(np.asarray(found)[indices], reference.values))
