"""The machine's kernels in both forms: compiled, and the same text as plain Python.

A test calls any of them with slots, whether the kernel takes a slot, or a record as those that only other
kernels call::

    slot = PATH.new()
    form.begin_path(slot, 0.0, 10.0, 24.0, 0.3)
    form.accept(loop, ...)
"""

import functools
import importlib.util
import inspect
import math
import sys
from unittest import mock

import numpy as np

from twophase_min.jit import compilation, records
from twophase_min.jit.records import Record
from twophase_min.run import event, exactness, guard, hollow, machine, plateau, state
from twophase_min.run.guard import GUARD, PATH
from twophase_min.run.state import EVENT, LOOP

RECORDS = {record.dtype: record for record in (GUARD, PATH, LOOP, EVENT)}


class Form:
    """The kernels of `guard` and `machine` in one form, by their names."""

    def __init__(self, name, *modules):
        self.name, self.modules = name, modules

    def __getattr__(self, name):
        for module in self.modules:
            if hasattr(module, name):
                kernel = self._callable(getattr(module, name))
                setattr(self, name, kernel)
                return kernel
        raise AttributeError(name)

    def __repr__(self):
        return self.name

    def slot(self, slot):
        """Return a slot as the kernels take it: to have it made once for many calls."""
        return slot

    def _callable(self, kernel):
        if not takes_record(kernel):
            return kernel if takes_slot(kernel) else _called(kernel)
        return _called_with_record(kernel)


class PlainForm(Form):
    """Their text, run by Python on views of the same memory."""

    def slot(self, slot):
        return _plain_slot(slot)

    def _callable(self, kernel):
        record = takes_record(kernel)

        def call(*arguments):
            arguments = [_plain_slot(argument) for argument in arguments]
            if record:
                arguments[0] = arguments[0][0]
            with np.errstate(all="ignore"):
                return kernel(*arguments)

        return call


def _first_parameter(kernel):
    return next(iter(inspect.signature(kernel.py_func).parameters))


def takes_slot(kernel):
    """Whether a kernel has a Python wrapper, and takes a slot."""
    return _first_parameter(kernel) == "slot"


def takes_record(kernel):
    """Whether a kernel takes a record first, as only kernels can hand it over."""
    return _first_parameter(kernel) in ("path", "guard", "loop")


def _plain_slot(argument):
    if isinstance(argument, np.ndarray) and argument.dtype in RECORDS:
        return records._PlainSlot(_plain_record(RECORDS[argument.dtype]), argument)
    return argument


@functools.cache
def _plain_record(record):
    """A record as it is declared where nothing is compiled."""
    fields = [
        field._replace(kind=_plain_record(field.kind)) if isinstance(field.kind, Record) else field
        for field in record.fields
    ]
    with mock.patch.object(records, "DISABLED", True):
        return Record(record.name, *fields)


@functools.cache
def _called(kernel):
    @compilation.jit(cache=False)
    def call(*arguments):
        return kernel(*arguments)

    return call


@functools.cache
def _called_with_record(kernel):
    @compilation.jit(cache=False)
    def call(slot, *arguments):
        return kernel(slot[0], *arguments)

    return call


def _plain_copy(module, **others):
    """Load a module of kernels once more, uncompiled, with other modules in place of those it imports."""
    spec = importlib.util.spec_from_file_location(f"plain_{module.__name__}", module.__file__)
    copy = importlib.util.module_from_spec(spec)
    with (
        mock.patch.object(compilation, "DISABLED", True),
        mock.patch.object(compilation, "register", return_value=None),
        mock.patch.dict(sys.modules, {f"twophase_min.run.{name}": other for name, other in others.items()}),
        mock.patch.multiple("twophase_min.run", **{module.__name__.rpartition(".")[2]: module, **others}),
    ):
        spec.loader.exec_module(copy)
    return copy


_plain_guard = _plain_copy(guard, guard=guard)
_plain_exactness = _plain_copy(exactness)
_plain_event = _plain_copy(event, guard=_plain_guard)
_plain_hollow = _plain_copy(hollow, exactness=_plain_exactness)
_plain_plateau = _plain_copy(plateau, exactness=_plain_exactness)
_plain_machine = _plain_copy(
    machine,
    guard=_plain_guard,
    exactness=_plain_exactness,
    event=_plain_event,
    hollow=_plain_hollow,
    plateau=_plain_plateau,
)

COMPILED = Form("compiled", machine, guard)
PLAIN = PlainForm("plain", _plain_machine, _plain_guard)
FORMS = (COMPILED, PLAIN)


# ---- a run that stands somewhere ---------------------------------------------------------------------------


def entered(record: Record, slot, **members):
    """Enter members into a slot, those of a nested record by a mapping; returns its view."""
    view = record.view(slot)
    for name, value in members.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                setattr(getattr(view, name), inner, number)
        else:
            assert hasattr(view, name), name
            setattr(view, name, value)
    return view


def a_loop(**members):
    """Return slot and view of a run with these members of `LOOP`, the others as in a new one."""
    slot = LOOP.new()
    return slot, entered(LOOP, slot, **members)


def a_path_of(slot, place):
    """Return a slot that shares the memory of one of the paths of a run."""
    path = LOOP.array(slot)["paths"][0, place : place + 1]
    return records._PlainSlot(PATH, path) if compilation.DISABLED else path


def bytes_of(record: Record, slot):
    """Memory of a slot."""
    return record.array(slot).tobytes()


def unlimited(monkeypatch):
    """Keep maxfun from the machine, which reckons with it; the objective still stops the run there."""
    from twophase_min.run import driver

    enter = state.set_limits

    def set_limits(loop, *arguments):
        enter(loop, *arguments)
        loop.maxfun = np.inf

    monkeypatch.setattr(driver, "set_limits", set_limits)


# ---- values of a made-up phase, by its evaluations ---------------------------------------------------------


def straight(slope, height=0.0):
    """Value that falls by so much an evaluation."""
    return lambda spent: height - slope * spent


def fading(slope, length, height=0.0):
    """Value that falls the more slowly the nearer it is to its limit."""
    return lambda spent: height + slope * length * math.expm1(-spent / length)
