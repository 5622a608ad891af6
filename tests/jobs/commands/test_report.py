"""`vilt report`: what it writes and where, and what it may open."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.commands.batch import run_file
from tests.outputs import thumbnails


def report(folder: Path, *words: str) -> str:
    """Run `vilt report` as a person does; the page."""
    done = CliRunner().invoke(app, ["report", str(folder), *words])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{folder}/_report.html\n"
    return (folder / "_report.html").read_text()


@pytest.mark.usefixtures("ray_cluster")
def test_pictures_by_uri_and_without_a_table(
    tmp_path: Path,
    ray_cluster: None,
    scene_rows: Callable[[int], list[dict[str, Any]]],
    write_table: Callable[..., str],
) -> None:
    del ray_cluster
    rows = scene_rows(6)
    table = Path(write_table(rows))
    for row in rows:
        (table / f"{row['id']}.img").write_bytes(row["image"])
        row["image"] = f"{row['id']}.img"
    write_table(rows)
    values = {
        "input": {"path": str(table), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values))
    run_file("score", str(tmp_path / "job.yaml"))
    page = (tmp_path / "out" / "_report.html").read_text()
    assert len(thumbnails(page)) == 4 * 6
    assert "id 0<br>000.parquet, row 0<br>0.img</div>" in page, "key, file and URI"
    (tmp_path / "out" / "_report.html").unlink()
    run_file("score", str(tmp_path / "job.yaml"), ["output.report=no"])
    assert not (tmp_path / "out" / "_report.html").exists()
    assert thumbnails(report(tmp_path / "out")) == []
    done = CliRunner().invoke(app, ["report", str(tmp_path / "out"), "--json"])
    assert json.loads(done.stdout)["left_out"] in done.stderr
    assert done.stderr.endswith(f"as the results say; to read them there, repeat the command with --allow {table}\n")
    assert len(thumbnails(report(tmp_path / "out", "--allow", str(table)))) == 4 * 6
    shutil.rmtree(table)
    page = report(tmp_path / "out", "--allow", str(table))
    assert "Pictures are left out: input.path: " in page
    assert "Histogram of 6 scores" in page


def test_a_report_that_fails_does_not_fail_the_job(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("no space\nleft")

    monkeypatch.setattr("pipeline.reporting.page.make_report", broken)
    values = {
        "input": {"path": str(outputs / "table")},
        "scores": str(outputs / "scores"),
        "keep": {"top": 0.1},
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "filter.yaml").write_text(yaml.safe_dump(values))
    done = CliRunner().invoke(app, ["filter", str(tmp_path / "filter.yaml")])
    assert done.exit_code == 0
    assert "kept        3 (10.0%)" in done.stdout
    assert done.stderr == "no report: no space left; the results are complete\n"
    assert len(pq.read_table(tmp_path / "out" / "kept")) == 3


def test_on_s3_and_into_a_file(outputs: Path, tmp_path: Path, s3_server: str) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("reported")
    s3.put(str(outputs / "scores"), "reported/scores", recursive=True)
    done = CliRunner().invoke(app, ["report", "s3://reported/scores/", "--allow", str(outputs / "table"), "--json"])
    expected = {"status": "done", "exit_code": 0, "report": "s3://reported/scores/_report.html"}
    assert json.loads(done.stdout) == expected
    assert len(thumbnails(s3.cat_file("reported/scores/_report.html").decode())) == 32
    done = CliRunner().invoke(app, ["report", "s3://reported/scores", "--out", str(tmp_path / "a" / "r.html")])
    assert done.exit_code == 0
    assert (tmp_path / "a" / "r.html").read_text().startswith("<!doctype html>")


def test_results_are_data_that_open_nothing(outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's summary names a private server, a table to copy from, and says that both are allowed."""
    monkeypatch.setattr("pipeline.reporting.page._figures", lambda *_: [])  # drawn anew for each of 14 reports
    private = tmp_path / "private"
    shutil.copytree(outputs / "table", private)
    shutil.copytree(outputs / "answers", tmp_path / "results")
    path = tmp_path / "results" / "_summary.json"
    summary = json.loads(path.read_text())
    for table in (f"{private}", f"file://{private}", f"{outputs}/table/../../{private.name}", f"x::file://{private}"):
        summary["input"] |= {"path": table, "allow": [f"{private}/", "http://127.0.0.1/"], "allow_private": True}
        path.write_text(json.dumps(summary))
        for words in ([], ["--allow", f"{private}x"], ["--allow", str(tmp_path / "results")]):
            page = report(tmp_path / "results", *words)
            assert thumbnails(page) == []
            assert "Pictures are left out: they are in " in page or "Pictures are left out: config: input." in page
    assert thumbnails(report(tmp_path / "results", "--allow", f"{tmp_path}/")) == [], "a chain of filesystems"
    summary["input"]["path"] = str(private)
    path.write_text(json.dumps(summary))
    assert len(thumbnails(report(tmp_path / "results", "--allow", f"{private}/"))) == 32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--threshold", "1"],
            "--threshold: is for two outputs, as in `vilt report A B --threshold 0.5`; leave it out",
        ),
        (["--by", "sourc"], "--by: the results have no column 'sourc'; they have "),
        (["other", "--by", "source"], "--by: is for one output; leave it out, or report each output by itself"),
        (["other"], "OUT: 'other' holds no _summary.json; name the output folder of a job that has finished"),
        (["--out", "/dev/null/r.html"], "--out: cannot write '/dev/null/r.html': "),
        (["--allow-private"], "--allow-private: no --allow names an http:// or https:// prefix; give the server there"),
        (["--allow", "https://u:p@host/a"], "--allow: 'https://host/a' cannot be used: a URL with a user name"),
    ],
)
def test_a_mistake_is_one_line(outputs: Path, words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["report", str(outputs / "scores"), *words])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(message)


def test_groups(outputs: Path, tmp_path: Path) -> None:
    words = [str(outputs / "scores"), "--by", "source", "--out", str(tmp_path / "r.html"), "--json"]
    done = CliRunner().invoke(app, ["report", *words])
    values = json.loads(done.stdout)["by"]
    assert (values["column"], values["others"]) == ("source", {"groups": 0, "rows": 0})
    assert [(one["value"], one["rows"]) for one in values["groups"]] == [("s0", 10), ("s1", 10), ("s2", 10)]
    assert sum(one["rejected"] for one in values["groups"]) == 2
    page = (tmp_path / "r.html").read_text()
    assert "<h2>Scores by source</h2>" in page
    assert page.count('aria-label="Scores of 10 rows"') == 3
    done = CliRunner().invoke(app, ["report", str(outputs / "filtered"), "--by", "source"])
    assert done.stderr.endswith(f"vilt report {outputs / 'scores'} --by source\n")


def test_two_outputs(outputs: Path, tmp_path: Path) -> None:
    """A run with the same input, and scores that are turned around."""
    shutil.copytree(outputs / "scores", tmp_path / "b")
    for part in (tmp_path / "b").glob("*.parquet"):
        table = pq.read_table(part)
        turned = pc.negate(table["score"])
        table = table.set_column(table.column_names.index("score"), "score", turned)
        pq.write_table(table.replace_schema_metadata(pq.read_metadata(part).metadata), part)
    words = ["report", str(outputs / "scores"), str(tmp_path / "b"), "--allow", str(outputs / "table")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "Spearman          -1.0000\n" in done.stdout
    assert done.stdout.endswith(f"report            {tmp_path}/b/_compared.html\n")
    assert len(thumbnails((tmp_path / "b" / "_compared.html").read_text())) == 16
    done = CliRunner().invoke(app, [*words, "--json", "--threshold", "0", "--out", str(tmp_path / "c.html")])
    values = json.loads(done.stdout)
    assert (values["report"], values["compared"], values["rejected_both"]) == (str(tmp_path / "c.html"), 28, 2)
    crossing = values["crossing"]
    assert (crossing["thresholds"], crossing["rose"] + crossing["fell"], crossing["share"]) == ([0, 0], 28, 1)
    done = CliRunner().invoke(app, ["report", str(outputs / "scores"), str(outputs / "filtered")])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert f"compare the scores: {outputs / 'scores'}" in done.stderr


def test_the_command_is_kept_without_secrets(outputs: Path, tmp_path: Path) -> None:
    values = {
        "input": {"path": str(outputs / "table"), "text": "caption"},
        "scores": str(outputs / "scores"),
        "keep": {"top": 0.1},
        "output": {"path": "out"},
        "storage": {"key": "AKIAKEY", "secret": "hunter2"},
    }
    (tmp_path / "filter.yaml").write_text(yaml.safe_dump(values))
    words = ["filter", "filter.yaml", "storage.secret=hunter3", "storage.endpoint_url=https://u:hunter4@host/"]
    subprocess.run([sys.executable, "-m", "jobs.cli", *words], cwd=tmp_path, check=True, capture_output=True)
    summary = (tmp_path / "out" / "_summary.json").read_text()
    page = (tmp_path / "out" / "_report.html").read_text()
    for text in (summary, page):
        assert "vilt filter filter.yaml 'storage.secret=***' storage.endpoint_url=https://host/" in html.unescape(text)
        assert not re.search("hunter|AKIA", text)
    stored = json.loads(summary)
    assert stored["config"]["keep"] == {"top": 0.1}
    assert stored["config"]["storage"]["endpoint_url"] == "https://host/"
    assert abs(stored["finished_at"] - time.time()) < 3600
    assert f"  path: {outputs / 'table'}\n" in page


def test_results_ask_no_server(outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's results name a private server in every place where a URI may stand; nothing is asked of it."""
    monkeypatch.setattr("pipeline.reporting.page._figures", lambda *_: [])  # drawn anew for each of 8 reports
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    out = tmp_path / "results"
    shutil.copytree(outputs / "answers", out)
    for part in out.glob("part-*.parquet"):  # results that carry their images, as URIs
        table = pq.read_table(part)
        footer = {**pq.read_metadata(part).metadata, b"vilt.model": url.encode()}
        images = pa.array([f"{url}/{i}.png" if i % 2 else "file:///etc/passwd" for i in range(len(table))])
        table = table.append_column("image", images).replace_schema_metadata(footer)
        pq.write_table(table, part)
    path = out / "_summary.json"
    summary = json.loads(path.read_text())
    for table_at in (f"{url}/table", f"{url}/table/*.parquet", "file:///etc", str(outputs / "table")):
        summary |= {"output": url, "lineage": {**summary["lineage"], "vilt.model": url}}
        summary["input"] |= {"path": table_at, "allow": [url], "allow_private": True, "filter": "1 = 1"}
        path.write_text(json.dumps(summary))
        page = report(out)
        assert thumbnails(page) == []
        assert "root:" not in page
        done = CliRunner().invoke(app, ["show", str(out)])
        assert done.exit_code == 0, done.output
    assert asked == []
    assert "Pictures are left out" in report(out)
    own_table = ("--allow", str(outputs / "table"))
    summary["input"]["filter"] = None
    path.write_text(json.dumps(summary))
    assert "uri_not_allowed" in report(out, *own_table)
    assert asked == []
    report(out, *own_table, "--allow", url, "--allow-private")
    assert asked, "the server counts"
    server.shutdown()
