"""`jit.records`: one declaration, read by compiled code, by Python and by whoever saves a state."""

import numpy as np
import pytest

from twophase_min.jit.compilation import jit
from twophase_min.jit.records import Record, count, nested, real

LINE = Record("Line", real("step", "length"), count("trials", "values asked for"))
RATE = Record(
    "Rate", real("span", "evaluations", 24.0), count("many", "marks"), real("marks", "m", 0.0, (4,))
)
RUN = Record(
    "Run",
    real("f", "value", np.nan),
    nested("line", LINE, "the search"),
    nested("rates", RATE, "the rates", (3,)),
    count("nit", "iterations", 5),
)


@jit(no_cpython_wrapper=True)
def note(rate, value):
    rate.marks[rate.many] = value
    rate.many += 1


@jit
def advance(slot, f):
    run = slot[0]
    run.f = f
    run.nit += 1
    run.line.step = 2.0 * f
    note(run.rates[1], f)
    note(run.rates[1], run.f / 0.0)  # a member divides as IEEE 754 does, in plain Python too
    return run.rates[2].span


def test_kernels_read_and_write_members_by_name():
    slot = RUN.new()
    assert advance(slot, 3.0) == 24.0
    array = RUN.array(slot)
    assert array.shape == (1,)
    assert array["f"] == 3.0
    assert array["nit"] == 6
    assert array["line"]["step"] == 6.0
    np.testing.assert_array_equal(array["rates"]["many"], [[0, 2, 0]])
    np.testing.assert_array_equal(array["rates"]["marks"][0, 1], [3.0, np.inf, 0.0, 0.0])


def test_a_view_shares_the_memory():
    slot = RUN.new()
    view = RUN.view(slot)
    assert np.isnan(view.f)
    assert view.nit == 5
    advance(slot, 1.0)
    assert (view.f, view.nit, view.line.step, view.rates[1].many) == (1.0, 6, 2.0, 2)
    view.nit, view.rates[1].many, view.line.trials = 9, 0, 4
    advance(slot, 2.0)
    assert (view.nit, view.rates[1].marks[0], view.line.trials) == (10, 2.0, 4)
    assert isinstance(view.nit, int)
    with pytest.raises(AttributeError):
        view.nti = 1


def test_saved_values_come_back_by_name():
    slot = RUN.new()
    advance(slot, 4.0)
    saved = RUN.array(slot).copy()
    again = RUN.load(saved)
    assert RUN.array(again).tobytes() == saved.tobytes()
    advance(again, 5.0)
    assert saved["f"] == 4.0, "a loaded slot is a copy"
    with pytest.raises(KeyError, match=r"Run\.rates"):
        RUN.load(saved[["f", "line", "nit"]])


def test_reset_restores_the_initial_values():
    slot = RUN.new()
    advance(slot, 4.0)
    RUN.reset(slot)
    assert RUN.array(slot).tobytes() == RUN.array(RUN.new()).tobytes()


def test_every_member_says_what_it_is():
    assert RUN.describe().splitlines()[0] == "f: value"
    assert len(RUN.describe().splitlines()) == len(RUN.fields)


@jit
def keep(slots, slot, events):
    slots[1] = slot[0]
    events[2].rate = slot[0].rates[1]
    return slots.shape[0]


EVENT = Record("Event", count("nit", "iteration"), nested("rate", RATE, "a rate"))


def test_records_are_copied_as_a_whole():
    slot, slots, events = RUN.new(), RUN.new(2), EVENT.new(3)
    advance(slot, 7.0)
    assert keep(slots, slot, events) == 2
    assert RUN.array(slots)[1].tobytes() == RUN.array(slot)[0].tobytes()
    assert RUN.view(slots, 0).nit == 5
    advance(slot, 8.0)
    assert EVENT.view(events, 2).rate.many == 2
    assert EVENT.view(events, 1).rate.many == 0
    assert RUN.view(slots, 1).f == 7.0


def test_other_initial_values_for_a_while():
    with RUN.preset(nit=50, line={"step": 3.0}):
        inside = RUN.view(RUN.new())
        assert (inside.nit, inside.line.step) == (50, 3.0)
    outside = RUN.view(RUN.new())
    assert (outside.nit, outside.line.step) == (5, 0.0)
