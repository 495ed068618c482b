"""The package reads top-down: short files, imports that point one way, no circle."""

import ast
import graphlib
from pathlib import Path

import pytest

import twophase_min

ROOT = Path(twophase_min.__file__).parent
NAME = ROOT.name

LONGEST = 500

# The core, from the ground up. A part is a module or a subpackage; it imports parts of the rows before its
# own, and itself.
CORE = (
    ("_caller", "_errstate", "_status", "detector", "jit"),
    ("_scipy_quiet",),
    ("_callback", "_history", "_result"),
    ("_constraints", "phases"),
    ("objective",),
    ("_options",),
    ("run",),
    ("_twophase",),
    ("_scipy_methods",),
    ("_minimize",),
    ("_multistart",),
)
# What stands at the side, and what it imports; nothing of the core imports it. "" is the package itself.
SIDE = {
    "_shards": set(),
    "_spread": {"_errstate", "_shards", "jit", "objective"},
    "_mean": set(),
    "_ranks": {"_mean", "_spread"},
    "finite_sum": {"_mean", "_ranks", "_shards", "_spread", "objective"},
    "gradients": {"_caller", "objective"},
    "networks": {"_errstate", "finite_sum", "jit"},
    "estimators": {"_minimize", "_status", "finite_sum", "networks", "phases"},
    "optimagic": {"_minimize"},
    "problems": set(),
    "curvature": {"_errstate", "objective"},
    "_least_squares": {"_errstate", "_minimize", "objective"},
    "_curve_fit": {"_least_squares", "curvature", "objective"},
    "testing": {"problems", "objective"},
    "plotting": {"detector"},
    "demo": {"", "networks", "problems"},
    "build": {"jit"},
    "__main__": {"", "demo", "detector", "networks", "phases"},
}


def name_of(path):
    parts = (NAME, *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def part_of(module):
    """The module or subpackage directly beneath the package; "" is the package itself."""
    return f"{module}.".split(".")[1]


def parsed(module):
    """The module without what only a type checker or a command line runs."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            node.body = []
    return tree


def at_import(statements):
    """The import statements that run when the module is imported."""
    for node in statements:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from at_import([*node.body, *node.orelse, *getattr(node, "finalbody", [])])


def of_package(nodes, importer):
    """Modules of the package that import statements name; the package itself for its lazy names."""
    parts = importer.split(".")
    if MODULES[importer].name != "__init__.py":
        parts = parts[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if f"{name.name}.".startswith(f"{NAME}."))
        else:  # a relative import starts at the importer's own package
            start = parts[: len(parts) + 1 - node.level] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            if f"{source}.".startswith(f"{NAME}."):
                for name in node.names:
                    module = f"{source}.{name.name}"
                    yield module if module in MODULES else source


def imports(module, lazy=False):
    """What a module imports of the package: when it is imported, or wherever an import stands."""
    tree = parsed(module)
    nodes = at_import(tree.body)
    if lazy:
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return set(of_package(nodes, module))


RANK = {part: rank for rank, row in enumerate(CORE) for part in row}


def test_no_file_is_long():
    long = {
        str(path.relative_to(ROOT))
        for path in MODULES.values()
        if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST
    }
    assert not long


def test_every_part_has_its_place():
    parts = {part_of(module) for module in MODULES} - {""}
    assert parts <= RANK.keys() | SIDE.keys()


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) in RANK])
def test_the_core_imports_downwards(module):
    """Late imports too; but the detector's command line and a result in a notebook may draw a picture."""
    part = part_of(module)
    draws = module.endswith("__main__") or part == "_result"
    wrong = {
        other
        for other in imports(module, lazy=not draws)
        if part_of(other) != part and RANK.get(part_of(other), len(CORE)) >= RANK[part]
    }
    assert not wrong, f"{module} imports what stands above or beside it"


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) in SIDE])
def test_the_sides_import_what_they_say(module):
    part = part_of(module)
    assert {part_of(other) for other in imports(module)} <= SIDE[part] | {part}


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if part_of(m) == "detector" and not m.endswith("__main__")],
)
def test_the_detector_imports_nothing_from_the_rest(module):
    """Not even late: its file or folder can be copied into another project."""
    assert {part_of(other) for other in imports(module, lazy=True)} <= {"detector"}


def test_the_package_itself_imports_nothing():
    assert not imports(NAME)


def test_imports_run_in_no_circle():
    """A module that its package's ``__init__`` imports does not import that in turn, either."""
    graphlib.TopologicalSorter({module: imports(module) for module in MODULES}).prepare()
