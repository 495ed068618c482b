"""Every test of networks runs twice: all passes by NumPy, and all in one call each."""

from __future__ import annotations

import pytest

from twophase_min.jit import compilation
from twophase_min.networks import passes

FORMS = {"by NumPy": 1 << 62, "in one call": 1}


@pytest.fixture(scope="package", autouse=True, params=list(FORMS)[: 1 if compilation.DISABLED else 2])
def passes_are(request):
    """Set the size from which a layer is large."""
    before, passes.LEAST = passes.LEAST, FORMS[request.param]
    yield
    passes.LEAST = before
