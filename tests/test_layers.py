"""Imports run downward only, between packages and rooms; and Parquet files are decoded by one module alone."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "vilt": {"pipeline", "jobs", "ray", "pyarrow", "pandas", "yaml", "pydantic", "typer"},
    "pipeline": {"jobs", "typer"},
}
# Each package's rooms, bottom up. A module may import from its own room and from rooms further down.
FLOORS = {
    "vilt": [{"common"}, {"processing"}, {"checkpoints"}, {"inference"}, {"models"}],
    "pipeline": [
        {"common"},
        {"config"},
        {"storage"},
        {"monitoring"},
        {"cluster"},
        {"tables"},
        {"images"},
        {"stages"},
        {"results"},
        {"reporting"},
        {"scoring"},
        {"filtering", "ranking", "reindexing"},
        {"evaluation", "planning"},
    ],
    "jobs": [{"console"}, {"reports", "demo"}, {"commands"}],
}
# The room of table formats: what formats share is below them, and a format that reads by means of others is above them.
# One that is not named here stands between: it imports no other format.
FORMATS = "pipeline/tables/formats"
FORMAT_FLOORS = {
    **dict.fromkeys(("filter_counts", "json_types", "lookalikes", "unreadable"), -2),
    "row_format": -1,
    **dict.fromkeys(("logged", "webdataset"), 1),
    **dict.fromkeys(("delta", "iceberg", "pictures"), 2),
    "path_lists": 3,
}


def imports_of(file: Path) -> Iterator[str]:
    """Yield the dotted names of the modules that a file imports, `from package import module` included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_downward(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        for name in imports_of(file):
            assert name.split(".")[0] not in FORBIDDEN[package], f"{file.name} imports {name}"


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_downward(package: str) -> None:
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS[package]) for room in rooms}
    rooms = {path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(floor_of), "each room has a floor"
    for room in rooms:
        for file in (ROOT / package / room).rglob("*.py"):
            for name in imports_of(file):
                parts = name.split(".")
                if parts[0] != package or len(parts) < 2 or parts[1] not in floor_of or parts[1] == room:
                    continue
                assert floor_of[parts[1]] < floor_of[room], f"{file.relative_to(ROOT)} imports {name}"


def test_table_formats_import_downward() -> None:
    room = ROOT / FORMATS
    files = {path: path.relative_to(room).with_suffix("").parts[0] for path in room.rglob("*.py")}
    assert set(FORMAT_FLOORS) < set(files.values())
    for file, own in files.items():
        for name in imports_of(file):
            if name.startswith("pipeline.tables.formats.") and (other := name.split(".")[3]) != own:
                lower = FORMAT_FLOORS.get(other, 0) < FORMAT_FLOORS.get(own, 0)
                assert lower, f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("package", FLOORS)
def test_no_room_imports_a_private_name_of_another(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        for name in imports_of(file):
            parts = name.split(".")
            same_room = parts[:2] == list(file.relative_to(ROOT).parts[:2])
            if parts[0] in FLOORS and not same_room:
                assert not parts[-1].startswith("_"), f"{file.relative_to(ROOT)} imports {name}"


def test_no_modules_import_each_other() -> None:
    """Imports inside functions and those for type checkers count, too."""
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for package in FLOORS
        for file in (ROOT / package).rglob("*.py")
    }
    imported: dict[str, set[str]] = {}
    for module, file in modules.items():
        names = set(imports_of(file))
        attributes = {name.rpartition(".")[0] for name in names if name in modules}  # `from package import module`
        imported[module] = {name for name in names - attributes if name in modules} - {module}
    graphlib.TopologicalSorter(imported).prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_within_rooms_have_no_circle(package: str) -> None:
    """Of a room with folders, each folder counts as one module: none is above and below another."""
    folders = [path for path in (ROOT / package).rglob("*") if path.is_dir() and (path / "__init__.py").exists()]
    for room in [ROOT / package, *folders]:
        name = ".".join(room.relative_to(ROOT).parts)
        imported: dict[str, set[str]] = {}
        for file in room.rglob("*.py"):
            part = file.relative_to(room).with_suffix("").parts[0]
            found = {
                one.removeprefix(f"{name}.").split(".")[0] for one in imports_of(file) if one.startswith(f"{name}.")
            }
            imported.setdefault(part, set()).update(found - {part})
        graphlib.TopologicalSorter(imported).prepare()  # raises CycleError, which names the folders


# What decodes pages of Parquet files; footers may be read anywhere.
DECODING = {
    "ParquetFile", "ParquetDataset", "read_table", "read_pandas", "read_parquet", "read_row_group", "read_row_groups",
    "scan_parquet", "dataset", "to_pyarrow_dataset", "to_pyarrow_table", "to_pandas_table", "from_parquet",
}  # fmt: skip
LANCE = ("formats/lance/format.py", "formats/lance/reader.py", "results/lance_results.py")  # `lance.dataset`
GUARD = "pipeline/storage/parquet/guarded_file.py"


@pytest.mark.parametrize("package", FLOORS)
def test_parquet_files_are_decoded_behind_one_guard(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        where = file.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
            if name in DECODING and not (name == "dataset" and where.endswith(LANCE)):
                assert where == GUARD, f"{where}:{node.lineno} calls {name}: see pipeline/storage/parquet/reading.py"
