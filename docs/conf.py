"""Configuration of the site: ``python -m sphinx -W docs site`` builds it, from the extra ``docs``."""

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import make_reference  # noqa: E402

import twophase_min  # noqa: E402

project = "twophase_min"
author = "The twophase_min developers"
copyright = author
version = release = twophase_min.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["site", "_build"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # sphinx-gallery's settings hold functions

# ---- text
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "py:obj"
highlight_language = "none"  # blocks of Python say so; the others are commands and output

# ---- reference
make_reference.write(HERE / "reference")
autosummary_generate = True
autodoc_default_options = {"show-inheritance": False}
autodoc_typehints = "none"  # the docstrings say more
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template of classes lists them
numpydoc_xref_param_type = False

# ---- gallery
FIRST = (
    "quick_start",
    "curve_fit_errors",
    "maximum_likelihood",
    "logistic_raw_columns",
    "mlp_digits",
    "lennard_jones",
    "million_variables",
    "decay_stack",
    "sklearn_pipeline",
    "from_jax",
    "property_test",
)
"""The order of the gallery; the others follow by name."""
SHOWN = {"basinhopping_peers", "exponentials", "killed_and_resumed", "logistic", "many_fits"}
"""Examples that the gallery only shows: they print tables, or start processes. The tests run them."""
NEEDS = {
    "dask_starts": "distributed",
    "lmfit_robust": "lmfit",
    "optimagic_profile": "optimagic",
    "pinn_pytorch": "torch",
    "decay_stack": "napari_flim_phasor_plotter",  # the photons it fits
    "detector_pytorch": "torch",
    "from_deepxde": "deepxde",
    "from_jax": "jax",
    "from_pina": "pina",
    "from_pytorch": "torch",
}
"""Packages that an example needs and the extra ``docs`` does not install; without them it is only shown."""


def runs(example: str) -> bool:
    """Whether the gallery runs an example."""
    need = NEEDS.get(example)
    return example not in SHOWN and (need is None or importlib.util.find_spec(need) is not None)


def place(file: str) -> tuple[int, str]:
    """Where an example stands in the gallery."""
    name = Path(file).stem
    return FIRST.index(name) if name in FIRST else len(FIRST), name


EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
RUN = [name for name in EXAMPLES if runs(name)]
sphinx_gallery_conf = {
    "examples_dirs": [str(ROOT / "examples")],
    "gallery_dirs": ["gallery"],
    "filename_pattern": "/(" + "|".join(map(re.escape, RUN)) + r")\.py$",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 0,
    "abort_on_example_error": True,
    "backreferences_dir": None,
    "write_computation_times": False,
    "within_subsection_order": place,
}

# ---- pages
html_theme = "pydata_sphinx_theme"
html_title = "twophase_min"
html_static_path = ["_static"]
html_css_files = ["site.css"]
WIDE = ("pinn", "paper", "training", "detectors_tables")
"""Pages whose tables need the room; the line above a page's title leads back."""
html_sidebars = {page: [] for page in ("index", "quickstart", *WIDE)}  # the first two have no subpages
html_theme_options = {
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
}
html_context = {"default_mode": "light"}
html_show_sourcelink = False


def compile_before_the_gallery(app: Any) -> None:
    """Compile the kernels, so that no example shows the notice of it or has it in its seconds."""
    if str(app.config.plot_gallery) not in ("0", "False"):
        os.environ["TWOPHASE_COMPILE_NOTICE"] = "0"
        twophase_min.warmup()


def setup(app: Any) -> None:
    """Connect the above."""
    app.connect("builder-inited", compile_before_the_gallery, priority=100)
