"""Write the pages of docs/reference from the code: `python -m docs.generate`, or with `--check` only compare."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from docs.column_meanings import COLUMNS
from jobs.cli import app
from jobs.console.exit_codes import EXIT_CODES
from pipeline.common.error_codes import REASONS, RETRYABLE
from pipeline.common.tasks import TASKS, added_columns
from pipeline.config.evaluate import EvaluateConfig
from pipeline.config.filter import FilterConfig
from pipeline.config.job import JobConfig
from pipeline.monitoring.metrics import METRICS, PREFIX
from pipeline.tables.registry import FORMATS
from vilt.models.registry import families

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- Written by `python -m docs.generate`. Edit the code that it reads, not this page. -->"


def pages() -> dict[str, str]:
    """Return the text of each page of docs/reference, by file name."""
    return {
        "commands.md": commands(),
        "configs.md": configs(),
        "columns.md": columns(),
        "formats.md": formats(),
        "models.md": models(),
        "reasons.md": reasons(),
        "exit-codes.md": exit_codes(),
        "metrics.md": metrics(),
    }


def commands() -> str:
    """Return the page of the command line."""
    lines = [f"{app.info.help}", "", "Every command prints its options with `--help`."]
    seen: dict[tuple[tuple[str, str, str], ...], str] = {}
    for info in app.registered_commands:
        assert info.callback
        hints = get_type_hints(info.callback, include_extras=True)
        rows = [_parameter(p, hints[p.name]) for p in inspect.signature(info.callback).parameters.values()]
        name = info.name or info.callback.__name__.rstrip("_")
        words = [cell.strip("`") for cell, _, _ in rows if not cell.startswith("`-")]
        help_text = _sentence(info.help or info.callback.__doc__ or "")
        lines += ["", f"## vilt {name}", "", f"    {' '.join(['vilt', name, *words, '[OPTIONS]'])}", "", help_text]
        same = seen.setdefault(tuple(rows), name)
        table = _table(("argument or option", "default", "meaning"), rows)
        lines += ["", *(table if same == name else [f"Arguments and options: as [vilt {same}](#vilt-{same})."])]
    return _page("Commands", lines)


def configs() -> str:
    """Return the page of the config files."""
    seen: set[type[BaseModel]] = set()
    lines = [
        "A job is a YAML file. Any key can be set on the command line as well, as in",
        "`vilt score job.yaml input.path=pairs/`. Files to copy are in [configs/](../../configs).",
        *_config(JobConfig, f"Jobs over a table: vilt {', '.join(TASKS)}, run, reindex, plan", seen),
        *_config(FilterConfig, "vilt filter", seen),
        *_config(EvaluateConfig, "vilt evaluate", seen),
    ]
    return _page("Configs", lines)


def columns() -> str:
    """Return the page of the output columns."""
    rows = []
    for name in dict.fromkeys(added_columns(list(TASKS), negatives=True, versions=True)):
        by = [f"`{task}`" for task, spec in TASKS.items() if name in spec.columns] or ["every task"]
        kind, meaning = COLUMNS[name]
        rows.append((f"`{name}`", f"`{kind}`", ", ".join(by), meaning))
    lines = [
        "A job writes one row for each pair: your own columns (the image only with `output.keep_image`), and these.",
        "",
        *_table(("column", "Arrow type", "written by", "meaning"), rows),
        "",
        "`vilt rank` also writes OUT/texts: each text with `best_images`, a list of `{row_id, score}`, and its own",
        "`text_truncated`, `error` and `error_detail`.",
        "",
        "A Delta table has one more column, `row_source`: the file that the row came from, the version of that file,",
        "the row's offset in it, and a hash of the values that were read.",
    ]
    return _page("Output columns", lines)


def formats() -> str:
    """Return the page of the table formats."""
    rows = []
    for known in FORMATS:
        found = [f"`{end}`" for end in known.extensions] or [f"a file in `{known.marker_folder}/`"]
        rows.append((f"`{known.name}`", ", ".join(found), _sentence(known.__doc__ or "")))
    lines = [
        "`input.format` names one; without it, the names of the files decide.",
        "",
        *_table(("format", "files", "what it is"), rows),
    ]
    return _page("Table formats", lines)


def models() -> str:
    """Return the page of the model families."""
    rows = []
    for family in sorted(families(), key=lambda known: known.name.lower()):
        tasks = [f"`{task}`" for task, spec in TASKS.items() if spec.head in family.tasks]
        rows.append((family.name, f"`{family.model_type}`", ", ".join(sorted(family.reads)), ", ".join(tasks)))
    lines = [
        "The `model_type` in a checkpoint's `config.json` decides. A checkpoint has the tasks whose heads it holds.",
        "",
        *_table(("family", "`model_type`", "each row gives", "tasks"), rows),
    ]
    return _page("Model families", lines)


def reasons() -> str:
    """Return the page of the values of the column `error`."""
    rows = [(f"`{name}`", meaning, "yes" if name in RETRYABLE else "") for name, meaning in REASONS.items()]
    lines = [
        "A row that has no result has one of these in the column `error`, and the particulars in `error_detail`.",
        "`--retry-errors` tries again only the rows whose error may be transient.",
        "",
        *_table(("reason", "when", "tried again by `--retry-errors`"), rows),
    ]
    return _page("Reasons", lines)


def exit_codes() -> str:
    """Return the page of the exit codes."""
    rows = [(str(one.code), f"`{one.status}`", one.cause, one.action) for one in EXIT_CODES]
    lines = [
        "The same for every command. The status is what `--json` prints.",
        "",
        *_table(("code", "status", "cause", "what to do"), rows),
    ]
    return _page("Exit codes", lines)


def metrics() -> str:
    """Return the page of the Prometheus metrics."""
    rows = []
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append((f"`{PREFIX}{metric.name}`", metric.kind, metric.unit, labels, metric.meaning))
    lines = [
        "Ray exports these on every node where `ray[default]` is installed (`pip install 'vilt-pipeline[metrics]'`).",
        "[prometheus.yml](../../configs/deploy/prometheus.yml) scrapes them,",
        "[grafana.json](../../configs/deploy/grafana.json) is a dashboard.",
        "",
        "Every metric has the labels `task` (the tasks of the job, as `score` or `score+answer`) and `run` (as in the",
        "names of the files of results), and those that Ray adds: `WorkerId`, `NodeAddress`, `SessionName`.",
        "",
        "Counters count work. A task that is killed and its replacement both count; rows of earlier runs of the same",
        "job do not. The exact numbers of a job are in its `_summary.json`. Ray computes a histogram's `_sum` from the",
        "middles of its buckets: take quantiles from it, not means.",
        "",
        *_table(("name", "type", "unit", "labels", "meaning"), rows),
    ]
    return _page("Metrics", lines)


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([MADE, "", f"# {title}", "", *lines, ""])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head))
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return " ".join(["|", *(f"{cell} |" if cell else "|" for cell in (cell.replace("|", "\\|") for cell in cells))])


def _sentence(text: str) -> str:
    return " ".join(text.split())


def _parameter(parameter: inspect.Parameter, hint: Any) -> tuple[str, str, str]:
    """Return the cells of an argument or option of a command; hint: its annotation."""
    kind, info = get_args(hint) if get_origin(hint) is Annotated else (hint, typer.Option())
    empty = any(parameter.default is nothing for nothing in (parameter.empty, None, False))
    default = "" if empty else f"`{parameter.default}`"
    if isinstance(info, typer.models.ArgumentInfo):
        word = info.metavar or parameter.name.upper()
        many = list in map(get_origin, get_args(kind))
        return f"`[{word}]...`" if many else f"`{word}`", default, info.help or ""
    named = [
        word for word in (info.default, *(info.param_decls or ())) if isinstance(word, str)
    ]  # as in Option("--json")
    option = next(iter(named), "--" + parameter.name.replace("_", "-"))
    value = "" if kind is bool else f" {info.metavar or _value(kind)}"
    return f"`{option}{value}`", default, info.help or ""


def _value(kind: Any) -> str:
    """Return how the value of an option is written: its choices, or its type in capitals."""
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    names = {str: "TEXT", int: "INTEGER", float: "NUMBER"}
    return next(name for known, name in names.items() if known in (kind, *get_args(kind)))


def _config(model: type[BaseModel], title: str, seen: set[type[BaseModel]]) -> Iterator[str]:
    """Yield the lines of a whole file: its top level, then those of its sections that no earlier file has."""
    yield from ("", f"## {title}", "")
    yield from _keys(model)
    yield from _sections(model, "", seen)


def _sections(model: type[BaseModel], above: str, seen: set[type[BaseModel]]) -> Iterator[str]:
    """Yield the lines of the sections below a model, each followed by those within it; above: its name and a dot."""
    for key, field in model.model_fields.items():
        section, name = _section(field), f"{above}{key}"
        if section and section in seen:
            yield from ("", f"Section `{name}`: as above.")
        elif section:
            seen.add(section)
            yield from ("", f"### {name}", "", _sentence((section.__doc__ or "").replace("``", "`")), "")
            yield from _keys(section)
            yield from _sections(section, f"{name}.", seen)


def _keys(model: type[BaseModel]) -> Iterator[str]:
    rows = []
    for name, field in model.model_fields.items():
        kind = _kind(field.annotation, field)
        meaning = field.description or (
            _sentence((_section(field).__doc__ or "").split(".")[0]) if _section(field) else ""
        )
        rows.append((f"`{name}`", kind, _default(field), meaning))
    yield from _table(("key", "type", "default", "meaning"), rows)


def _section(field: FieldInfo) -> Any:
    """Return the section that a key holds, or None if it holds a value."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(kind: Any, field: FieldInfo | None = None) -> str:
    """Return the name of a type as a person would say it, with the bounds of its values."""
    origin, args = get_origin(kind), get_args(kind)
    names = {str: "text", int: "integer", float: "number", bool: "true or false", SecretStr: "text", Any: "any value"}
    if origin is Literal:
        name = ", ".join(f"`{value}`" for value in args)
    elif origin in (Union, types.UnionType):
        name = " or ".join(_kind(arg) for arg in args if arg is not type(None))
    elif origin is list:
        name = f"list of {_kind(args[0]).replace('text', 'texts')}"
    elif origin is dict:
        name = "keys and values" if args[1] is Any else f"{_kind(args[1])} for each task"
    else:
        name = names.get(kind, "section")
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = [
        f"{signs[key]} {getattr(part, key):g}"
        for part in (field.metadata if field else [])
        for key in signs
        if hasattr(part, key)
    ]
    return f"{name}, {' and '.join(bounds)}" if bounds else name


def main(words: Sequence[str]) -> int:
    """Write the pages, or with `--check` name those that differ; return the exit code."""
    stale = [name for name, text in pages().items() if not _is(FOLDER / name, text)]
    if "--check" in words:
        for name in stale:
            print(f"docs/reference/{name} is not what the code says: run `python -m docs.generate`", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(pages()[name])
    return 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
