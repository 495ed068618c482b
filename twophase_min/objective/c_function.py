"""Objectives in C, Cython, Fortran or any language with C's calling convention, called by their address.

The function is ``double f(double *x, double *g, int64_t n)``, or takes a ``void *user_data`` after n. It
returns the value and, at every call, writes the gradient into the n elements of g; it leaves x alone. It
runs without the GIL and, under `multistart`, in several threads at once. It tells of a failure by a NaN.

A run calls it from compiled code; where Python is needed (a callback, a progress bar) `CObjective` is called
like any other function that gives ``(f, g)``.
"""

from __future__ import annotations

import ctypes
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import LowLevelCallable

FORM = "double f(double *x, double *g, int64_t n), or with a last argument void *user_data"

_WORDS = ("long", "longlong", "unsignedlong", "size_t", "ssize_t", "Py_ssize_t", "npy_intp", "ptrdiff_t")
_SIGNATURE = re.compile(r"double\(double\*,double\*,(\w+)(?:,void\*)?\)")


class CObjective:
    """A C function of the form above, with its user data.

    Parameters
    ----------
    address : int
        Of the function.
    data : int
        Address of its user data, 0 for none.
    keep : object
        What must outlive the function.

    Attributes
    ----------
    args : tuple of ndarray
        The two addresses, as the further argument that the compiled loop finds them in.
    """

    def __init__(self, address: int, data: int = 0, keep: Any = None):
        self.args = (np.array([address, data], dtype=np.int64),)
        self._data, self._keep = data, keep
        kind = ctypes.CFUNCTYPE(
            ctypes.c_double, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
        )
        self._function = kind(address)

    def __call__(self, x: Any, *_: Any) -> tuple[float, NDArray[np.float64]]:
        """Value and gradient at x, by way of ctypes."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        g = np.zeros(x.size)
        return self._function(x.ctypes.data, g.ctypes.data, x.size, self._data), g


def c_objective(fun: Any, jac: Any, args: tuple[Any, ...]) -> CObjective | None:
    """Recognise an objective that is given by the address of a C function.

    Parameters
    ----------
    fun : object
        A `scipy.LowLevelCallable`, a ctypes function with ``argtypes`` and ``restype``, or what `numba.cfunc`
        made.
    jac : object
        Must be True for a C function; a ctypes function with another one is called like a Python function.
    args : tuple
        Further arguments; a C function takes none.

    Returns
    -------
    CObjective or None
        None where ``fun`` is something else.

    Raises
    ------
    TypeError
        If it is a C function of another form.
    """
    if type(fun).__module__ == "numba.core.ccallback":
        target = fun.ctypes
    elif isinstance(fun, (LowLevelCallable, ctypes._CFuncPtr)):  # type: ignore[attr-defined]
        target = fun
    else:
        return None
    if jac is not True:
        if isinstance(fun, ctypes._CFuncPtr):  # type: ignore[attr-defined]
            return None
        raise TypeError(f"a C function is an objective with jac=True, and of the form {FORM}.")
    if args:
        raise TypeError(
            "a C function takes no args: put them into the user_data of a scipy.LowLevelCallable."
        )
    if isinstance(target, LowLevelCallable):
        return _from_capsule(target, fun)
    return _from_ctypes(target, fun)


def _from_capsule(target: Any, keep: Any) -> CObjective:
    """Read address and user data from the capsule, whose name is the signature in C."""
    signature = target.signature
    found = _SIGNATURE.fullmatch(re.sub(r"\bconst\b|\s", "", signature or ""))
    if found is None or not _is_int64(found[1]):
        raise TypeError(f"the signature of the LowLevelCallable is {signature!r}; it must be {FORM}.")
    capsule = tuple.__getitem__(target, 0)
    api = ctypes.pythonapi
    address = _capsule_function(api.PyCapsule_GetPointer, ctypes.c_char_p)(capsule, signature.encode())
    data = _capsule_function(api.PyCapsule_GetContext)(capsule)
    return CObjective(address, data or 0, keep)


def _capsule_function(function: Any, *further: Any) -> Any:
    """Bind a function of Python's API that reads an address, without changing the shared object."""
    kind: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, *further)
    return kind(ctypes.cast(function, ctypes.c_void_p).value)


def _is_int64(name: str) -> bool:
    if name in ("long", "unsignedlong"):
        return ctypes.sizeof(ctypes.c_long) == 8
    return name in _WORDS or name.endswith("int64_t")  # Cython puts the place of a typedef before it


def _from_ctypes(target: Any, keep: Any) -> CObjective:
    """Check the declared types of a ctypes function."""
    kinds: tuple[Any, ...] = tuple(target.argtypes or ())
    fits = (
        target.restype is ctypes.c_double
        and len(kinds) in (3, 4)
        and all(map(_is_vector, kinds[:2]))
        and kinds[2] in (ctypes.c_int64, ctypes.c_uint64, ctypes.c_ssize_t, ctypes.c_size_t)
        and (len(kinds) == 3 or kinds[3] is ctypes.c_void_p)
    )
    if not fits:
        names = [getattr(kind, "__name__", str(kind)) for kind in kinds]
        result = getattr(target.restype, "__name__", target.restype)
        raise TypeError(
            f"the ctypes function has argtypes {names} and restype {result}; it must be {FORM}: set both, "
            "c_int64 for n."
        )
    address = ctypes.cast(target, ctypes.c_void_p).value
    assert address is not None
    return CObjective(address, 0, keep)


def _is_vector(kind: Any) -> bool:
    """Whether an argument type is a pointer to float64: ctypes' own, an untyped one, or NumPy's."""
    dtype = getattr(kind, "_dtype_", None)
    return kind in (ctypes.c_void_p, ctypes.POINTER(ctypes.c_double)) or dtype == np.float64
