"""`vilt convert`: checkpoints in the published format."""

from __future__ import annotations

from dataclasses import asdict

from jobs.console.command import Outcome
from jobs.console.tables import lines
from pipeline.common.errors import ConfigError
from vilt.models.vilt.conversion import Converted, convert


def convert_file(source: str, out: str, tokenizer: str | None = None, labels: str | None = None) -> Outcome:
    """Convert a checkpoint; see `vilt.models.vilt.conversion.convert`.

    Raises:
        ConfigError: If something is wrong with the files; before anything is written.
    """
    try:
        written = convert(source, out, tokenizer, labels)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    return Outcome(lines(*_lines(written)), asdict(written))


def _lines(written: Converted) -> list[str]:
    """Return lines for a person."""
    out = [f"{written.output}: {', '.join(written.architectures)}"]
    if written.left_out:
        out.append(f"left out, as no published class has them: {', '.join(written.left_out)}")
    if not written.has_tokenizer:
        hint = "copy a vocab.txt there, or convert with --tokenizer FOLDER"
        out.append(f"{written.output} has no tokenizer yet: {hint}")
    return out
