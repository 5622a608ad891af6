"""`vilt init`: the file of a first job, written after a look at the table."""

from __future__ import annotations

import math
import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from jobs.console.command import Outcome
from jobs.console.tables import facts, lines, stacked
from jobs.console.text import visible
from pipeline.common.errors import ConfigError
from pipeline.common.tasks import PUBLISHED, Task, added_columns
from pipeline.config.base import SECRETS, set_keys
from pipeline.config.job import JobConfig
from pipeline.planning.column_guess import ColumnGuess, guess_columns
from pipeline.storage.failures import as_storage_failure
from pipeline.tables.column_checks import check_columns
from pipeline.tables.table import TableFiles, open_files
from vilt.common.counts import counted

COLUMN = 34  # where comments begin


class _Line(NamedTuple):
    """A key of the section `input`, its value, and what speaks for it; a value of None stands in a comment."""

    key: str
    value: Any
    why: str = ""


def write_config(name: str, table: str, overrides: Sequence[str], out: str | None) -> Outcome:
    """Look at a table and write the file of a job over it.

    Args:
        name: The task of the job.
        table: The table, as in `input.path`.
        overrides: `key=value`; they are written as they are given.
        out: The file to write; default: TASK.yaml in the working folder.

    Raises:
        ConfigError: The table cannot be read, the file is there already, or a key is wrong.
        StorageFailedError: The storage fails.
    """
    task = next((known for known in PUBLISHED if known == name), None)
    if task is None:
        raise ConfigError(f"vilt init: {name!r} is none of {', '.join(PUBLISHED)}; for others copy a file of configs/")
    target = Path(out or f"{task}.yaml")
    if target.exists():
        raise ConfigError(f"{target}: is there already; name another file with --out, or remove it")
    values: dict[str, Any] = {
        "input": {"path": table},
        "model": PUBLISHED[task].model,
        "output": {"path": f"{task}-results/"},
    }
    set_keys(values, overrides)
    _check_secrets(values)
    config = JobConfig.parse(task, values, "vilt init")
    with as_storage_failure():
        files = open_files(config.input, config.storage, columns=[])
        guess = guess_columns(files, task)
    found = _input_lines(task, files, guess, values["input"])
    text = _file_text(task, str(target), found, values)
    target.write_text(text, encoding="utf-8")
    missing = _fault(task, text, files)
    return Outcome(
        stacked([lines(_table_line(files)), facts(_shown(found)), facts(_next(task, target, missing))]),
        {"file": str(target), "rows": files.rows, "input": yaml.safe_load(text)["input"], "to_do": missing},
    )


def _check_secrets(values: Mapping[str, Any]) -> None:
    """Refuse secrets that would stand in the file. Raises ConfigError."""
    for name in SECRETS:
        section, _, key = name.partition(".")
        given = (values.get(section) or {}).get(key)
        if isinstance(given, str) and not given.startswith("${"):
            raise ConfigError(f"{name}: would stand in the file; give it as '{name}={{env: NAME}}' or {{file: PATH}}")


def _input_lines(task: Task, table: TableFiles, guess: ColumnGuess, given: Mapping[str, Any]) -> list[_Line]:
    """Return the keys of the section `input` beside `path`: as they are given, or else as they are guessed."""
    out = []
    for key, found in (("image", guess.image), ("text", guess.text), ("id", guess.id)):
        if key in given:
            out.append(_Line(key, given[key], "as given"))
        elif key == "text" and not PUBLISHED[task].reads_texts:
            continue
        elif found is not None:
            out.append(_Line(key, found.column, found.why))
        elif key == "id":
            out.append(_Line(key, None, "no column of ids was found; row_id is a hash of the file's name and the row"))
        else:
            fixed = ', or for one text for all rows {fixed: "is there a watermark?"}' if key == "text" else ""
            out.append(_Line(key, None, f"none was found among {', '.join(table.schema.names)}; name it{fixed}"))
    if "columns" not in given and (clash := set(added_columns([task])) & {*table.schema.names} - _ids(out)):
        names = ", ".join(sorted(clash))
        out.append(
            _Line("columns", [n for n in table.schema.names if n not in clash], f"without {names}, which the job adds")
        )
    if "allow" not in given and guess.allow:
        out.append(_Line("allow", guess.allow, "where the images are"))
    used = {line.key for line in out}
    return out + [_Line(key, value, "as given") for key, value in given.items() if key not in used | {"path"}]


def _ids(found: Sequence[_Line]) -> set[str]:
    return {line.value for line in found if line.key == "id" and line.value == "row_id"}


def _file_text(task: Task, name: str, found: Sequence[_Line], values: Mapping[str, Any]) -> str:
    """Return the text of the file."""
    head = [
        f"# vilt {task} {visible(name)} [key=value ...]",
        "# Written after a look at the first rows of the table: read it once. All keys: configs/score.yaml.",
        "",
        "input:",
        f"  path: {_yaml(values['input']['path'])}",
    ]
    body = [_commented(f"  {'# ' if one.value is None else ''}{one.key}: {_yaml(one.value)}", one.why) for one in found]
    tail = [
        "",
        _commented(f"model: {_yaml(values['model'])}", "or a folder, s3://..., or zoo://scenes, which ships"),
        "",
        "output:",
        *(f"  {key}: {_yaml(value)}" for key, value in values["output"].items()),
        "",
    ]
    more = [f"{key}: {_yaml(value)}" for key, value in values.items() if key not in ("input", "model", "output")]
    if "max_error_rate" not in values:
        more.append(
            _commented("# max_error_rate: 0.05", "share of rejected rows beyond which the job ends with exit code 3")
        )
    return "\n".join([*head, *body, *tail, *more]) + "\n"


def _yaml(value: Any) -> str:
    """Return a value on one line of YAML."""
    if value is None:
        return ""
    return yaml.safe_dump(value, default_flow_style=True, width=math.inf).removesuffix("...\n").strip()


def _commented(line: str, comment: str) -> str:
    return f"{line:<{COLUMN - 2}}  # {visible(comment)}" if comment else line


def _fault(task: Task, text: str, files: TableFiles) -> str:
    """Return what is still wrong with the file, in a line; "" if it can be run."""
    try:
        config = JobConfig.parse(task, yaml.safe_load(text), "the file")
        if not PUBLISHED[task].reads_texts and config.input.text == "text":
            config = config.model_copy(update={"input": config.input.model_copy(update={"text": None})})
        check_columns(files.schema, config)
    except ConfigError as error:
        return str(error)
    return ""


def _table_line(files: TableFiles) -> str:
    count = len(files.files)
    return f"{files.format.name}: {counted(files.rows, 'row')} in {counted(count, 'file')}"


def _shown(found: Sequence[_Line]) -> list[tuple[str, str]]:
    return [(one.key, one.why if one.value is None else f"{_yaml(one.value)}: {one.why}") for one in found]


def _next(task: Task, target: Path, missing: str) -> list[tuple[str, str]]:
    todo = [("to do", missing)] if missing else []
    return [("wrote", os.fspath(target)), *todo, ("next", f"vilt plan {target} --task {task}")]
