"""`vilt plan` on drawn scenes: what the sample shows, and what is told."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.console.tables import to_text
from jobs.reports.plan import plan_table, plan_values
from pipeline import JobConfig
from pipeline.planning.plan import Plan, PlanRequest, make_plan
from pipeline.planning.search import Search
from tests.conftest import png
from tests.pipeline.evaluation import drawn
from vilt import Predictor

ELSEWHERE = ["--actors", "4", "--cores-per-actor", "4"]


pytestmark = pytest.mark.usefixtures("ray_cluster")


def vilt_plan(*words: str) -> tuple[int, str]:
    """Return the exit code and what is printed; with --json on stdout alone: Ray warns on stderr on a busy machine."""
    done = CliRunner().invoke(app, ["plan", *words])
    return done.exit_code, done.stdout if "--json" in words else done.output


@pytest.fixture(scope="module")
def job_file(tmp_path_factory: pytest.TempPathFactory, scene_rows: Callable[[int], list[dict[str, Any]]]) -> str:
    """60 scenes in `table` beside the file, six of them broken. Tests only read them."""
    folder, rows = tmp_path_factory.mktemp("plan"), scene_rows(60)
    for row in rows[:4]:
        row["image"] = b"<html>"
    rows[4]["image"] = png(900, 30)
    rows[5]["caption"] = None
    (folder / "table").mkdir()
    for i in range(3):
        pq.write_table(pa.Table.from_pylist(rows[20 * i : 20 * i + 20]), folder / "table" / f"{i:03d}.parquet")
    values = {
        "input": {"path": str(folder / "table"), "text": "caption"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "out")},
        "precision": "float32",
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


@pytest.fixture(scope="module")
def planned(ray_cluster: None, job_file: str) -> tuple[Plan, str]:
    """The plan of all rows for machines elsewhere, and what `vilt plan` prints of it."""
    del ray_cluster
    plans: list[Plan] = []

    def kept(config: JobConfig, request: PlanRequest) -> Plan:
        plans.append(make_plan(config, request))
        return plans[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.commands.plan.make_plan", kept)
        code, text = vilt_plan(job_file, "--task", "score", *ELSEWHERE, "--price-per-hour", "36")
    assert code == 0
    return plans[0], text


def test_all_rows_of_a_small_table(planned: tuple[Plan, str], job_file: str) -> None:
    trial = planned[0].trial
    assert (trial.rows, trial.pairs) == (60, 60)
    assert trial.rejected == {"image_unsupported": 4, "image_aspect": 1, "text_null": 1}
    table = Path(job_file).parent / "table"
    rows = [row for file in range(3) for row in pq.read_table(table / f"{file:03d}.parquet").to_pylist()]
    good = [row for row in rows[5:] if row["caption"] is not None]
    pairs = Predictor.from_pretrained("zoo://scenes").preprocessor.pairs(
        [row["image"] for row in good], [row["caption"] for row in good]
    )
    assert sorted(trial.tokens.tolist()) == sorted(pairs.lengths.tolist())
    assert sum(trial.grids.values()) == 54
    assert set(trial.grids) == set(pairs.grids)
    sizes = [len(image) for image in {row["image"] for row in rows}]
    assert sorted(trial.image_bytes.tolist()) == sorted(sizes), "each distinct image once"
    assert trial.batch_fill == pytest.approx(pairs.lengths.sum() / 16_384)
    assert trial.output_bytes > 0
    assert {stage: int(one.rows.sum()) for stage, one in trial.timings.items()} == dict.fromkeys(
        ("reading", "fetching", "decoding", "model", "writing"), 60
    )


def test_the_table(planned: tuple[Plan, str], job_file: str) -> None:
    _, text = planned
    for part in (
        "table       60 rows in 3 files, ",
        "sample      60 rows of 3 of 3 pieces, seed 0\n",
        "rejected    6 of 60, 10.0% (95 %: 4.7% to 20.1%)\n        4  image_unsupported: no known image format",
        "machines    4 x 3 cores for the model, 4 more to read and decode\n",
        "limit       ",
        "time        ",
        " at 36 per hour and actor\n",
    ):
        assert part in text
    assert "exit code 3" not in text
    assert (
        "the job would end with exit code 3"
        in vilt_plan(job_file, "max_error_rate=0.01", "--task", "score", *ELSEWHERE)[1]
    )


def test_the_search_of_a_first_stage(planned: tuple[Plan, str]) -> None:
    plan = replace(planned[0], pairs=2_500_000, search=Search(25_000, 1_000_000, 512, 100, 230.0))
    words = " ".join(to_text(plan_table(plan, 0, None)).split())
    line = "search 4 min of the start: 25,000 texts with 1,000,000 vectors of 512 numbers, in this process, 100 kept"
    assert line in words
    assert plan_values(plan, 0, None)["search"]["seconds"] == 230.0


def test_the_requests_of_a_table_that_follows_its_images(planned: tuple[Plan, str]) -> None:
    plan = replace(planned[0], verify_images=1_000_000)
    line = "verify 1,000,000 requests at most in each reindex, a HEAD or what the storage has for it: 16 min if one"
    assert line in " ".join(to_text(plan_table(plan, 0, None)).split())
    assert plan_values(plan, 0, None)["verify_images"] == 1_000_000


def test_json_and_a_picture(tmp_path: Path, job_file: str) -> None:
    words = ["--task", "score", "--json", "--sample", "40", "--price-per-hour", "36", "--out", str(tmp_path / "p.png")]
    code, text = vilt_plan(job_file, *words, *ELSEWHERE)
    assert code == 0
    assert text.count("\n") == 1
    found = json.loads(text)
    assert (found["status"], found["exit_code"]) == ("done", 0)
    assert (found["rows"], found["files"], found["sample"]["rows"]) == (60, 3, 40)
    low, value, high = (found["estimate"][name] for name in ("low", "seconds", "high"))
    assert low <= high
    assert found["cost"]["value"] == pytest.approx(36 * 4 * value / 3600)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_this_machine_where_decoding_and_the_model_share_the_cores(job_file: str) -> None:
    code, text = vilt_plan(job_file, "--task", "score", "actors.gpus=0")
    assert code == 0, text
    assert "on one core\n" in text
    assert ", on " in next(line for line in text.splitlines() if line.startswith("machines"))


def test_gpus_that_are_not_here(job_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    code, text = vilt_plan(job_file, "--task", "score", "--actors", "8", "--gpus", "1", "--cores-per-actor", "12")
    assert code == 0
    assert text.endswith("model       not timed: the job asks for GPUs, and this machine has none\n")
    assert "rejected    6 of 60" in text
    code, text = vilt_plan(job_file, "actors.gpus=1", "--task", "score")
    assert code == 2
    assert text.count("\n") == 1
    assert "to plan for other machines, ask for their actors, GPUs and cores" in text


def test_the_retrieval_of_an_evaluation(tmp_path: Path) -> None:
    path, images = drawn.karpathy(tmp_path, 4)
    section = {"model": "zoo://scenes", "annotations": path, "images": images}
    values = {"retrieval": section, "output": {"path": str(tmp_path / "out")}, "precision": "float32"}
    (tmp_path / "evaluate.yaml").write_text(yaml.safe_dump(values))
    code, text = vilt_plan(str(tmp_path / "evaluate.yaml"), "--json", *ELSEWHERE)
    assert code == 0, text
    found = json.loads(text)
    test = [image for image in json.loads(Path(path).read_text())["images"] if image["split"] == "test"]
    assert found["pairs"] == 4 * sum(len(image["sentences"]) for image in test)
    model = found["sample"]["seconds_per_row"]["model"]
    assert found["pairs_per_second"] == pytest.approx(found["pairs"] / 4 / model)
    one, eight, many = (found["seconds_of_actors"][str(actors)] for actors in (1, 8, 64))
    assert many <= eight <= one
    code, text = vilt_plan(
        str(tmp_path / "evaluate.yaml"), "retrieval=", "vqa.model=x", "vqa.questions=q", "vqa.images=i"
    )
    assert code == 2
    assert "retrieval.model: missing; of a file of `vilt evaluate` the section retrieval is planned" in text


def test_mistakes_are_one_line(job_file: str) -> None:
    for words, message in (
        ([], f"{job_file}: tasks: missing; add `task: score` to the file"),
        (["--task", "score", "input.image=picture"], "input.image: the table has no column 'picture'"),
        (["--task", "fly"], f"{job_file}: tasks: "),
        (
            ["--task", "score", "output.report=false"],
            "output.report: given on the command line, but a plan writes nothing",
        ),
        (["--task", "score", "input.filter=id < 0"], "input.path: '"),
        (["--task", "score", "--out", "/nowhere/p.png", *ELSEWHERE], "--out: cannot write '/nowhere/p.png'"),
    ):
        code, text = vilt_plan(job_file, *words)
        assert code == 2, text
        assert text.startswith(message)
        assert text.count("\n") == 1


def test_images_by_uri_on_s3(s3_server: str, job_file: str) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("plan")
    table = pq.read_table(Path(job_file).parent / "table").slice(0, 20)
    for i, image in enumerate(table["image"].to_pylist()):
        s3.pipe_file(f"plan/table/images/{i}.jpg", image)
    names = [f"images/{i}.jpg" for i in range(19)] + ["images/none.jpg"]
    at = table.column_names.index("image")
    pq.write_table(table.set_column(at, "image", [names]), "plan/table/a.parquet", filesystem=s3)
    words = ["input.path=s3://plan/table", "--task", "score", "--json", "--out", "s3://plan/picture.png", *ELSEWHERE]
    code, text = vilt_plan(job_file, *words)
    assert code == 0, text
    found = json.loads(text)
    assert found["sample"]["rejected"]["image_missing"] == 1
    assert found["sample"]["seconds_per_row"]["fetching"] > 0
    assert s3.cat_file("plan/picture.png").startswith(b"\x89PNG")
