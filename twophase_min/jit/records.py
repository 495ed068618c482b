"""Named scalars of a state: declared once, read by compiled and by plain Python code alike.

A kernel's state is a named tuple of vectors and of *slots*. A slot holds one record of float64 and int64
scalars, and small arrays of them::

    ADAM = Record("Adam", real("f", "value at the iterate, unit f"), count("t", "steps made"))
    slot = ADAM.new()

    @jit
    def kernel(slot):
        adam = slot[0]
        adam.t += 1

Compiled, a slot is a structured array of shape (1,), and ``slot[0]`` a pointer to its record. (To hand a
record itself over from Python costs 3.6 microseconds, an array 0.2.) Python reads and writes the same
memory by the attributes of a `view`; for kernels that run as plain Python ``slot[0]`` is one. Saving is a
copy of the array; its field names travel along.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twophase_min.jit.compilation import DISABLED


class Field(NamedTuple):
    """One member of a record.

    Attributes
    ----------
    name : str
        Attribute name.
    kind : type or Record
        ``numpy.float64``, ``numpy.int64``, or the record of a member that has members itself.
    meaning : str
        What it is, with its unit.
    initial : float
        Value of a new state.
    shape : tuple of int
        Empty for a scalar.
    """

    name: str
    kind: Any
    meaning: str
    initial: float
    shape: tuple[int, ...]


def real(name: str, meaning: str, initial: float = 0.0, shape: tuple[int, ...] = ()) -> Field:
    """Declare a float64 member, or an array of them."""
    return Field(name, np.float64, meaning, initial, shape)


def count(name: str, meaning: str, initial: int = 0, shape: tuple[int, ...] = ()) -> Field:
    """Declare an int64 member: a counter, a code or a flag."""
    return Field(name, np.int64, meaning, initial, shape)


def nested(name: str, record: Record, meaning: str, shape: tuple[int, ...] = ()) -> Field:
    """Declare a member that is a record, or an array of records."""
    return Field(name, record, meaning, 0.0, shape)


class Record:
    """A declaration of named scalars.

    Parameters
    ----------
    name : str
        What the record is called.
    *fields : Field
        Its members, from `real`, `count` and `nested`.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the structured array that holds it.
    """

    def __init__(self, name: str, *fields: Field):
        self.name, self.fields = name, fields
        self.dtype: np.dtype[Any] = np.dtype(
            [
                (field.name, field.kind.dtype if isinstance(field.kind, Record) else field.kind, field.shape)
                for field in fields
            ],
            align=True,
        )
        self._view: Any = (_plain_view if DISABLED else _view)(name, fields)
        self._initial = np.zeros(1, self.dtype)
        self._fill(self._initial)

    def _fill(self, array: NDArray[Any]) -> None:
        for field in self.fields:
            if isinstance(field.kind, Record):
                array[field.name] = field.kind._initial.reshape((1,) * (1 + len(field.shape)))
            else:
                array[field.name] = field.initial

    def new(self, many: int = 1) -> Any:
        """Return a slot, or slots for so many records, with the initial values."""
        array = np.repeat(self._initial, many)
        return _PlainSlot(self, array) if DISABLED else array

    def enlarged(self, slot: Any) -> Any:
        """Return slots for twice as many records, the first half as they are."""
        many = self.array(slot).size
        larger = self.new(2 * many)
        self.array(larger)[:many] = self.array(slot)
        return larger

    @contextlib.contextmanager
    def preset(self, **values: Any) -> Iterator[None]:
        """Have new slots begin with other values for a while; ``{...}`` for a nested record."""
        before = self._initial.copy()
        for name, value in values.items():
            if isinstance(value, Mapping):
                for inner, number in value.items():
                    self._initial[name][inner] = number
            else:
                self._initial[name] = value
        try:
            yield
        finally:
            self._initial[:] = before

    def reset(self, slot: Any) -> None:
        """Give all members their initial values."""
        self.array(slot)[:] = self._initial

    def view(self, slot: Any, place: int = 0) -> Any:
        """Return an object whose attributes are the members of a record, for Python code."""
        if DISABLED:
            return slot[place]
        # as bytes: for a structured array NumPy would describe all its members to the C structure
        return self._view.from_buffer(slot.view(np.uint8), place * self.dtype.itemsize)

    def array(self, slot: Any) -> NDArray[Any]:
        """Return the slot's memory, shape (1,), for saving."""
        return slot.array if isinstance(slot, _PlainSlot) else slot

    def load(self, saved: Any) -> Any:
        """Return a slot with the values of a saved array.

        Raises
        ------
        KeyError
            If a member is missing there.
        """
        saved = np.asarray(saved).reshape(1)
        slot = self.new()
        array = self.array(slot)
        for field in self.fields:
            if saved.dtype.names is None or field.name not in saved.dtype.names:
                raise KeyError(f"{self.name}.{field.name}")
            array[field.name] = saved[field.name]
        return slot

    def describe(self) -> str:
        """Return a line for every member: its name and meaning."""
        return "\n".join(f"{field.name}: {field.meaning}" for field in self.fields)


def _view(name: str, fields: tuple[Field, ...]) -> type:
    """Make the class of a view: a C structure over the memory, whose members cost 20 nanoseconds to read."""
    kinds = {np.float64: ctypes.c_double, np.int64: ctypes.c_int64}
    members = []
    for field in fields:
        kind: Any = field.kind._view if isinstance(field.kind, Record) else kinds[field.kind]
        for size in reversed(field.shape):
            kind = kind * size
        members.append((field.name, kind))
    return type(name, (ctypes.Structure,), {"_fields_": members, "__slots__": ()})


class _PlainSlot:
    """A slot for kernels that run as plain Python: ``slot[0]`` is the view."""

    def __init__(self, record: Record, array: NDArray[Any]):
        self.record, self.array, self.shape = record, array, array.shape
        self._members = [record._view(array[k : k + 1]) for k in range(array.size)]

    def __getitem__(self, place: int) -> Any:
        return self._members[place]

    def __setitem__(self, place: int, member: Any) -> None:
        self.array[place] = member._array[0]

    def copy(self) -> _PlainSlot:
        """Return another slot with the same values."""
        return _PlainSlot(self.record, self.array.copy())


def _plain_view(name: str, fields: tuple[Field, ...]) -> type:
    """Make the class of a view whose reals are NumPy's: they divide by zero as compiled code does."""

    def __init__(self: Any, array: NDArray[Any]) -> None:
        self._array = array
        for field in fields:
            member: Any = array[field.name]
            if isinstance(field.kind, Record):
                view = field.kind._view
                many = range(*field.shape) if field.shape else ()
                member = [view(member[0, k : k + 1]) for k in many] if field.shape else view(member)
            elif field.shape:
                member = member[0]
            object.__setattr__(self, "_" + field.name, member)

    members: dict[str, Any] = {
        "__init__": __init__,
        "__slots__": ("_array", *("_" + field.name for field in fields)),
    }
    for field in fields:
        whole = bool(field.shape) or isinstance(field.kind, Record)
        members[field.name] = _whole(field) if whole else _scalar(field)
    return type(name, (), members)


def _whole(field: Field) -> property:
    slot = "_" + field.name

    def copy(self: Any, member: Any) -> None:
        self._array[field.name] = member._array[0]

    return property(lambda self: getattr(self, slot), copy, doc=field.meaning)


def _scalar(field: Field) -> property:
    slot = "_" + field.name
    if field.kind is np.int64:
        return property(
            lambda self: getattr(self, slot).item(0),
            lambda self, v: getattr(self, slot).fill(v),
            doc=field.meaning,
        )
    return property(
        # NumPy's float: it divides by zero as compiled code does
        lambda self: getattr(self, slot)[0],
        lambda self, v: getattr(self, slot).fill(v),
        doc=field.meaning,
    )
