"""The rules of the house, as tests: who may import whom, how long files and functions are, what stays out of them."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = sorted((REPOSITORY / "src" / "sandglass").rglob("*.py"))
SCRIPTS = [path for folder in ("tests", "benchmarks", "runs") for path in sorted((REPOSITORY / folder).rglob("*.py"))]
MAX_FILE = 350  # lines
MAX_FUNCTION = 45  # lines of code: blank ones, comments, the signature and the docstring are free

Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=path.relative_to(REPOSITORY).as_posix()) for path in paths]


def test_imports_only_go_down() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_reading_and_drawing_need_no_torch() -> None:
    """Also not by way of a third party; so that `sandglass data` starts at once."""
    imports = "sandglass, sandglass.core.image, sandglass.core.pose, sandglass.data.sets, sandglass.data.filters"
    code = f"import sys, {imports}, sandglass.data.results, sandglass.data.photos; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", named(SOURCES))
def test_file_keeps_the_house_rules(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    lines = text.splitlines()
    assert len(lines) <= MAX_FILE, f"{len(lines)} lines; cut it along a noun"
    doc = ast.get_docstring(tree)
    assert doc and lines[0].startswith('"""'), "the first line is one sentence: what the file is about, in which frame"
    assert doc.partition("\n\n")[0].rstrip().endswith((".", ":")), doc.partition("\n\n")[0]
    for node in ast.walk(tree):
        if isinstance(node, Function):
            size = body_lines(node, lines)
            assert size <= MAX_FUNCTION, f"{node.name} has {size} lines of code; split it"


def body_lines(function: Function, lines: Sequence[str]) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    code = (line.strip() for line in lines[body[0].lineno - 1 : function.end_lineno])
    return sum(bool(line) and not line.startswith("#") for line in code)


@pytest.mark.parametrize("path", named([p for p in SOURCES if p.parent.name != "cli"]))
def test_library_does_not_print(path: Path) -> None:
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
    prints = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not prints, f"print() in lines {prints}; return it, or let the command line say it"


@pytest.mark.parametrize("path", named([p for p in SOURCES + SCRIPTS if p != Path(__file__)]))
def test_nothing_unfinished_and_no_private_path(path: Path) -> None:
    text = path.read_text("utf-8")
    for word in ("TODO", "FIXME", "XXX", "/home/", "/root/", "/work/", "/Users/"):
        assert word not in text, f"{word!r} in line {text[: text.index(word)].count(chr(10)) + 1}"
    assert path.parent.name != "utils" and path.stem != "utils", "a file is named after a noun"


def test_the_rules_can_fail() -> None:
    source = 'def f():\n    """Doc."""\n    # why\n\n    a = 1\n    return a\n'
    function = ast.parse(source).body[0]
    assert isinstance(function, Function)
    assert body_lines(function, source.splitlines()) == 2
