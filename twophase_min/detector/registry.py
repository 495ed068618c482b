"""What a rule is, the rules by name, and how a rule is made from an option value."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .state import Field

DEFAULT_RULE = "norm-peak"
"""Name of the rule that is used when none is asked for."""

Why = tuple[Any, ...]
"""Evidence of one reading: (holds, template, *numbers); the sentence is built only when it is read."""


NOT_USABLE = (False, "loss {0:.6g} and gradient norm {1:.6g} are no usable reading: no evidence")
"""Evidence of a reading that is not finite, without its numbers."""


def sentence(why: Why) -> str:
    """Build the sentence of a piece of evidence; nested evidence becomes nested sentences."""
    template: str = why[1]
    return template.format(*[sentence(part) if isinstance(part, tuple) else part for part in why[2:]])


class Kernels(NamedTuple):
    """A rule as functions that run in plain Python and compiled alike.

    Attributes
    ----------
    read : callable
        ``read(rule, ring, loss, norm, step) -> bool``: whether the reading shows evidence. ``rule`` has the
        fields as attributes; ``ring`` has the last losses in ``ring[0]`` and norms in ``ring[1]``, of a rule
        that looks back.
    forget : callable
        ``forget(rule)``: drop all evidence.
    fields : tuple of Field
        The scalars that the rule reads and writes. A name that two rules share means the same in both.
    """

    read: Callable[[Any, Any, float, float, int], bool]
    forget: Callable[[Any], None]
    fields: tuple[Field, ...]


class Rule:
    """One way to read evidence for convexity; subclasses implement `read`.

    Attributes
    ----------
    name : str
        What the rule is called in options, decisions and serialised states.
    named : bool
        Whether an option may ask for it by its name; a rule with parts is made as an object.
    patient : bool
        Whether the detector's patience and minimum steps apply (they do not to a fixed step).
    blind : bool
        Whether the rule works without a finite reading.
    extras : tuple of str
        What the rule wants besides loss and norm.
    kernels : Kernels or None
        The functions of a rule that the compiled engine can run.
    """

    name: ClassVar[str] = ""
    named: ClassVar[bool] = True
    patient: bool = True
    blind: bool = False
    extras: ClassVar[tuple[str, ...]] = ()
    kernels: ClassVar[Kernels | None] = None
    _options: ClassVar[tuple[str, ...]] = ()
    _callables: ClassVar[tuple[str, ...]] = ()
    _state: ClassVar[tuple[str, ...]] = ()

    def read(self, loss: float, norm: float, step: int, extras: Mapping[str, Any]) -> Why:
        """Take one reading and return evidence, template, and the numbers of the template.

        Parameters
        ----------
        loss, norm : float
            Finite (unless the rule is `blind`), `norm` not negative.
        step : int
            Readings since the start or the last `rearm`, this one included.
        extras : mapping
            What else the caller passed to `ConvexitySwapDetector.update`.
        """
        raise NotImplementedError

    def why(self, holds: bool, loss: float, norm: float, step: int) -> Why:
        """Return from the state what `read` returned for the last reading.

        A rule with `kernels` needs it: after a swap that compiled code has seen, it gives the reason.
        """
        raise NotImplementedError(f"the rule {self.name!r} does not keep its last answer")

    def rearm(self) -> None:
        """Forget all evidence."""

    def to_dict(self) -> dict[str, Any]:
        """Return name, options and state as JSON-serialisable values."""
        return {
            "rule": self.name,
            "options": {key: getattr(self, key) for key in self._options},
            "state": {key: _plain(getattr(self, key)) for key in self._state},
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        for key in self._state:
            setattr(self, key, _plain(state[key]))

    def __and__(self, other: Any) -> Rule:
        return _make("all", self, other)

    def __or__(self, other: Any) -> Rule:
        return _make("any", self, other)

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={getattr(self, key)!r}" for key in self._options)
        return f"{type(self).__name__}({options})"


def _plain(value: Any) -> Any:
    """Copy a list, so that a serialised state and a living rule never share one."""
    return list(value) if isinstance(value, (list, tuple)) else value


RULES: dict[str, type[Rule]] = {}
"""The rules by name; entered by `register`.

Texts that list rules read it: of an unknown name, of the command, of the options, of what can be compiled.
"""


def register(rule: type[Rule]) -> type[Rule]:
    """Enter a rule into `RULES` under its name; a decorator of its class.

    Raises
    ------
    ValueError
        There is no name, or another rule has it.
    """
    if not rule.name or RULES.get(rule.name, rule) is not rule:
        raise ValueError(f"a rule needs a name of its own, got {rule.name!r}")
    RULES[rule.name] = rule
    return rule


def known_rules() -> list[str]:
    """Return the names that an option may ask for."""
    return [name for name, rule in RULES.items() if rule.named]


def _make(name: str, /, *args: Any, **options: Any) -> Rule:
    """Make a rule of `RULES`, whose constructors differ."""
    kind: Any = RULES[name]
    rule: Rule = kind(*args, **options)
    return rule


def make_rule(spec: Any, options: Mapping[str, Any]) -> Rule:
    """Turn a name, a count, a callable or a rule into a rule; `options` go to a named one."""
    if isinstance(spec, Rule):
        return spec
    if spec is None or spec is True:
        spec = DEFAULT_RULE
    elif spec is False:
        spec = "never"
    if isinstance(spec, str):
        kind = RULES.get(spec)
        if kind is None or not kind.named:
            known = ", ".join(map(repr, known_rules()))
            raise ValueError(
                f"unknown swap rule {spec!r}: choose {known}, a step number, a callable or a Rule"
            )
        accepted = kind._options + kind._callables
        return _make(spec, **{key: value for key, value in options.items() if key in accepted})
    if isinstance(spec, (float, np.floating)):
        raise TypeError(f"a swap rule given as a number must be an integer step, got {spec!r}")
    try:
        step = operator.index(spec)
    except TypeError:
        return _make("callable", spec)
    return _make("fixed-step", step)


def restore_rule(saved: Mapping[str, Any], function: Any) -> Rule:
    """Rebuild a rule, its parts first; a callable takes `function`, be it the rule or a part of it."""
    name = saved["rule"]
    if name == "callable":
        if function is None:
            raise ValueError("this detector was saved with a callable rule: pass it again as rule=")
        return function if isinstance(function, Rule) else _make(name, function)
    if name not in RULES:
        raise ValueError(f"unknown swap rule {name!r} in the saved detector")
    parts = [restore_rule(part, function) for part in saved.get("rules", ())]
    rule = _make(name, *parts, **saved["options"])
    rule._restore(saved["state"])
    return rule
