"""Lines of code of the package, without blanks, comments and docstrings, by subpackage.

``python benchmarks/lines.py`` counts the checkout it lies in; ``--files`` also lists the files, longest
first, with their lines of code and their lines in all.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "twophase_min"

NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def docstring_lines(tree: ast.Module) -> set[int]:
    """Lines of bare strings: docstrings of modules, classes and functions, and those under a constant."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def code_lines(text: str) -> int:
    """Count the lines on which some token of code stands."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(ast.parse(text)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", action="store_true", help="list the files too, longest first")
    asked = parser.parse_args()
    files = [
        (str(path.relative_to(PACKAGE)), code_lines(text), len(text.splitlines()))
        for path in sorted(PACKAGE.rglob("*.py"))
        for text in [path.read_text(encoding="utf-8")]
    ]
    count: Counter[str] = Counter()
    code: Counter[str] = Counter()
    for name, lines, _ in files:
        part = name.partition("/")[0] + "/" if "/" in name else "(modules)"
        count[part] += 1
        code[part] += lines
    print(f"{'part':<20} {'files':>6} {'code':>7}")
    for part in sorted(count):
        print(f"{part:<20} {count[part]:>6} {code[part]:>7,}")
    print(f"{'all':<20} {sum(count.values()):>6} {sum(code.values()):>7,}")
    if asked.files:
        print(f"\n{'file':<40} {'code':>6} {'lines':>6}")
        for name, lines, all_lines in sorted(files, key=lambda row: -row[2]):
            print(f"{name:<40} {lines:>6} {all_lines:>6}")


if __name__ == "__main__":
    main()
