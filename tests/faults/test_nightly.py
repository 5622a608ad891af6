"""Every command of the page about a nightly set, run as it is written; in this lane for its five jobs."""

from pathlib import Path

from tests.docs.pages import check_page, make_environment


def test_every_command(tmp_path: Path) -> None:
    folder, variables = make_environment(tmp_path)
    check_page("docs/nightly.md", "pip install .", folder, variables)
    assert {path.name for path in (folder / "good" / "kept").iterdir()} == {"monday.csv.parquet", "tuesday.csv.parquet"}
