"""Python scripts run as a user would: in a process of their own."""

import os
import subprocess
import sys


def output_of(*arguments, cwd, path, **variables):
    """Run Python with these arguments in a folder, with path on PYTHONPATH; answers what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(path), **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
