# What `run` and `wheels` share, to be sourced: their steps, interpreters and fresh environments, in $scratch.

# One thread per worker: tests run side by side, and BLAS threads on top of that only get in each other's way.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
export MPLBACKEND=Agg PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1 PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python=${PYTHON:-python3}

step() { printf '\n== %s (%d s so far)\n' "$1" "$SECONDS"; }

environment() {  # NAME INTERPRETER: make a fresh environment and enter it
    "$2" -m venv "$scratch/$1"
    # shellcheck disable=SC1091
    . "$scratch/$1/bin/activate"
}

works() {  # INTERPRETER VERSION: whether it can be run (a shim may be there that cannot) and is that version
    command -v "$1" > /dev/null && "$1" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" 2> /dev/null
}

find_python() {  # VERSION: print an interpreter of that version
    local candidate
    for candidate in "$python" "python$1" "/usr/bin/python$1" "/usr/local/bin/python$1" \
        "$HOME"/.pyenv/versions/"$1".*/bin/python; do
        if works "$candidate" "$1"; then printf '%s' "$candidate"; return; fi
    done
}

lowest_requirements() {  # "numpy>=1.26" in pyproject.toml becomes "numpy==1.26.*"; of what a user installs
    python - << 'END'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
needs = list(project["dependencies"])
for extra in ("plot", "sklearn", "progress", "testing"):
    needs += project["optional-dependencies"][extra]
print(*(need.replace(">=", "==") + ".*" for need in needs), sep="\n")
END
}
