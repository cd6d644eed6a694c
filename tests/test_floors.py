"""The house keeps its floors: who may import whom, and how long a file may be. The rules are those of docs/design.md.

Every import counts: at the top, in a function, under TYPE_CHECKING.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "expo_gateway"
MAX_LINES = 400

# A unit imports from lower floors and from itself. The roof is one unit.
FLOORS: list[set[str]] = [
    {"errors", "clock", "metrics", "log_context", "process_lock", "request_faults"},
    {"protocol"},
    {"sqlite"},
    {"registry", "outbox", "providers", "emulators", "admission"},
    {"recipients"},
    {"gateway", "dispatcher", "journal"},
    {"home_assistant"},
    {"world"},
    {"runs"},
    {"doors"},
    {"roof"},
]
ROOF = {
    *("settings", "logs", "data_dir", "listener", "granian_listener", "front"),
    *("connection", "connection_http1", "connection_requests", "connection_switched", "connection_terms"),
    "connection_websocket",
    *("counts", "board", "supervisor", "child", "worker", "emulated_ports", "emulated_providers", "late_emulated"),
    *("certificates", "forward_proxy", "hosts_front", "proxy_door"),
    *("commands", "project_settings", "project_files", "project_providers", "live_projects"),
    *("forward_settings", "forwarding", "seed", "seed_file", "seeding", "settings_sections"),
    *("control", "control_doors", "late_doors", "run_worlds", "run_providers"),
    *("home_assistant_front", "home_assistant_needs", "late_home_assistant"),
    *(
        "exposition",
        "emulated",
        "app",
        "server",
        "stop_signals",
        "cli",
        "command_line",
        "serve",
        "testing",
        "pytest_plugin",
        "__main__",
    ),
}
# Beyond the floors: a door translates; it asks the gateway and knows nothing of what lies behind it.
BARRED = {
    "doors": {"registry", "outbox", "providers", "emulators", "dispatcher"},
    # Emulators judge by Apple's and Google's rules; with our builders a mistake would agree with itself.
    "emulators": {"protocol"},
}
# It shows and changes what lies behind the gateway: that is what it is for.
ALL_SEEING_DOOR = f"{PACKAGE}.doors.control"
# What a door may have of the others: what every door needs of HTTP.
SHARED_BY_DOORS = (f"{PACKAGE}.doors.http", f"{PACKAGE}.doors.bodies")

HYPERCORN = ("connection_switched", "connection_websocket", "emulators.fcm_listener")
LIBRARIES: dict[str, Callable[[str], bool]] = {
    "aioapns": lambda module: unit_of(module) == "providers",
    "pyfcm": lambda module: unit_of(module) == "providers",
    "sqlite3": lambda module: any(part.startswith("sqlite") for part in module.split(".")),
    "hypercorn": lambda module: module.split(".", 1)[1] in HYPERCORN,
    "granian": lambda module: module == f"{PACKAGE}.granian_listener",
    "signal": lambda module: module.split(".", 1)[1] in ("stop_signals", "supervisor", "child"),
    "typer": lambda module: module == f"{PACKAGE}.command_line" or module.startswith(f"{PACKAGE}.commands."),
}

Imports = Mapping[str, set[str]]
"""module -> what it imports, ours as far as the module, others by their full dotted name."""


def test_every_file_keeps_to_its_floor() -> None:
    assert list(broken_floors(imports_of(ROOT / PACKAGE))) == []


def test_no_modules_import_each_other() -> None:
    assert list(cycles(imports_of(ROOT / PACKAGE))) == []


def test_libraries_stay_in_the_rooms_that_adapt_them() -> None:
    assert list(strayed_libraries(imports_of(ROOT / PACKAGE))) == []


def test_no_file_is_longer_than_400_lines() -> None:
    assert list(long_files(ROOT / PACKAGE)) == []


# -- the checks -----------------------------------------------------------------------------------------------------


def unit_of(module: str) -> str:
    """ "expo_gateway.outbox.sqlite" -> "outbox". The package itself is no unit: ""."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else ""
    if name.startswith("sqlite"):
        return "sqlite"
    return "roof" if name in ROOF else name


def floor_of(unit: str) -> int | None:
    return next((height for height, units in enumerate(FLOORS) if unit in units), None)


def broken_floors(imports: Imports) -> Iterator[str]:
    for module, imported in sorted(imports.items()):
        unit = unit_of(module)
        if unit and floor_of(unit) is None:
            yield f"{module} is on no floor: name it in FLOORS"
            continue
        for other in sorted(imported):
            if is_ours(other) and unit_of(other) and not may_import(module, other):
                yield f"{module} imports {other}"


def may_import(module: str, other: str) -> bool:
    unit, other_unit = unit_of(module), unit_of(other)
    if unit == "doors" and other_unit == "doors":
        return other in SHARED_BY_DOORS or door_of(module) == door_of(other)
    if unit == other_unit:
        return True
    here, there = floor_of(unit), floor_of(other_unit)
    barred = () if door_of(module) == ALL_SEEING_DOOR else BARRED.get(unit, ())
    return here is not None and there is not None and there < here and other_unit not in barred


def door_of(module: str) -> str:
    return ".".join(module.split(".")[:3])


def strayed_libraries(imports: Imports) -> Iterator[str]:
    for module, imported in sorted(imports.items()):
        for library in sorted({name.split(".")[0] for name in imported} & LIBRARIES.keys()):
            if not LIBRARIES[library](module):
                yield f"{module} imports {library}"


def cycles(imports: Imports) -> Iterator[str]:
    graph = {module: {other for other in imported if other in imports} for module, imported in imports.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield " <- ".join(error.args[1])


def long_files(package: Path) -> Iterator[str]:
    for path in sorted(package.rglob("*.py")):
        lines = len(path.read_text().splitlines())
        if lines > MAX_LINES:
            yield f"{path.relative_to(package.parent)} has {lines} lines: find the second subject"


def is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE


def imports_of(package: Path) -> Imports:
    files = {module_of(path, package): path for path in package.rglob("*.py")}
    return {module: set(imported_by(module, path, known=files)) for module, path in files.items()}


def module_of(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(module: str, path: Path, *, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module, is_package=path.name == "__init__.py")
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield submodule if submodule in known else base


def absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    up = node.level - (1 if is_package else 0)
    parts = module.split(".")
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


# -- the checks find what they look for -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code", "found"),
    [
        ("protocol/x.py", "import expo_gateway.gateway", "expo_gateway.protocol.x imports expo_gateway.gateway"),
        ("outbox/x.py", "from expo_gateway.registry.base import A", "outbox.x imports expo_gateway.registry.base"),
        ("outbox/x.py", "from ..registry import base", "outbox.x imports expo_gateway.registry.base"),
        ("outbox/__init__.py", "from ..registry import base", "outbox imports expo_gateway.registry.base"),
        ("outbox/x.py", "def f():\n    import expo_gateway.providers", "outbox.x imports expo_gateway.providers"),
        ("gateway.py", "if TYPE_CHECKING:\n    from expo_gateway import dispatcher", "imports expo_gateway.dispatcher"),
        ("gateway.py", "import expo_gateway.settings", "expo_gateway.gateway imports expo_gateway.settings"),
        ("doors/x.py", "import expo_gateway.outbox", "expo_gateway.doors.x imports expo_gateway.outbox"),
        ("doors/x.py", "from expo_gateway.doors import y", "expo_gateway.doors.x imports expo_gateway.doors.y"),
        ("emulators/x.py", "import expo_gateway.protocol.apns", "emulators.x imports expo_gateway.protocol.apns"),
        ("attic.py", "", "expo_gateway.attic is on no floor"),
    ],
)
def test_an_import_from_another_floor_is_found(tmp_path: Path, path: str, code: str, found: str) -> None:
    package = made_up_package(tmp_path, {path: code})

    (broken,) = broken_floors(imports_of(package))

    assert found in broken


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("protocol/x.py", "from expo_gateway.errors import A"),
        ("outbox/x.py", "from expo_gateway.outbox import y\nfrom expo_gateway.protocol.z import Z"),
        ("doors/x.py", "from expo_gateway.doors.http import A\nfrom expo_gateway.gateway import Gateway"),
        ("doors/x/y.py", "from expo_gateway.doors.x import z"),
        ("app.py", "from expo_gateway import __version__\nfrom expo_gateway.outbox.sqlite import A"),
    ],
)
def test_an_import_from_below_or_next_door_is_fine(tmp_path: Path, path: str, code: str) -> None:
    package = made_up_package(tmp_path, {path: code})

    assert list(broken_floors(imports_of(package))) == []


@pytest.mark.parametrize(
    ("path", "code", "library"),
    [
        ("app.py", "from aioapns.connection import A", "aioapns"),
        ("gateway.py", "def f():\n    import sqlite3", "sqlite3"),
        ("server.py", "import hypercorn.config", "hypercorn"),
        ("cli.py", "import signal", "signal"),
    ],
)
def test_a_strayed_library_is_found(tmp_path: Path, path: str, code: str, library: str) -> None:
    package = made_up_package(tmp_path, {path: code})

    (strayed,) = strayed_libraries(imports_of(package))

    assert strayed.endswith(f"imports {library}")


def test_modules_that_import_each_other_are_found(tmp_path: Path) -> None:
    package = made_up_package(
        tmp_path,
        {
            "protocol/a.py": "from expo_gateway.protocol.b import B",
            "protocol/b.py": "def f():\n    from expo_gateway.protocol import a",
        },
    )

    (cycle,) = cycles(imports_of(package))

    assert "expo_gateway.protocol.a" in cycle
    assert "expo_gateway.protocol.b" in cycle


def test_a_long_file_is_found(tmp_path: Path) -> None:
    package = made_up_package(tmp_path, {"app.py": "x = 1\n" * 401})

    (found,) = long_files(package)

    assert "app.py has 401 lines" in found


def made_up_package(tmp_path: Path, files: Mapping[str, str]) -> Path:
    """A package with the files, and with those that they import."""
    package = tmp_path / PACKAGE
    others = ("registry/base.py", "dispatcher/__init__.py", "doors/y.py", "doors/x/z.py", "outbox/y.py")
    for path, code in {**dict.fromkeys(others, ""), **files}.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(code)
    return package
