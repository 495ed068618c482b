"""Compilation by Numba, its cache on disk, and the vector kernels."""
