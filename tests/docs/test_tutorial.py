"""Every command of the tutorial, run as it is written, in an environment that holds only what it has installed."""

from pathlib import Path

from tests.docs.pages import BLOCK, ROOT, check_page, make_environment


def test_every_command(tmp_path: Path) -> None:
    folder, variables = make_environment(tmp_path)
    install = next(text for kind, text in BLOCK.findall((ROOT / "docs/tutorial.md").read_text()) if kind == "sh")
    check_page("docs/tutorial.md", install, folder, variables)
    assert (folder / "scores" / "_report.html").exists()
    assert list((folder / "good" / "kept").glob("*.parquet"))
    installed = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    for package in ("vilt", "pipeline", "jobs"):
        assert (installed / package / "py.typed").exists()
    assert (installed / "vilt" / "zoo" / "scenes" / "model.safetensors").exists()
