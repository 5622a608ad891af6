"""`kill -9` of everything that a job is made of: every row comes out once, with the score that it would have had."""

import time
from pathlib import Path
from random import Random

import pytest

from jobs.demo.s3_server import S3Server
from pipeline import JobConfig, run
from tests.faults.harness import FAULTS, ROWS, Job, scene_table
from vilt import Predictor

Undisturbed = tuple[float, dict[int, float]]


def same_scores(job: Job, undisturbed: Undisturbed) -> None:
    assert max(abs(job.scores[i] - score) for i, score in undisturbed[1].items()) < 1e-4


@pytest.mark.quick
@pytest.mark.usefixtures("ray_cluster")
def test_a_driver_that_is_killed(folder: Path, s3: S3Server) -> None:
    """When it has written some files, which is the moment that costs most; the same job in another process goes on."""
    job = Job(folder, s3, "driver")
    driver = job.start()
    job.wait_for_parts(3, driver)
    assert driver.poll() is None
    driver.kill()
    driver.wait()
    summary = run(JobConfig.load("score", str(folder / "driver.yaml")))
    assert 0 < summary.resumed_rows < ROWS
    job.outcome("driver killed once", 1)
    images, captions = scene_table(ROWS).select(["image", "caption"]).to_pydict().values()
    scores = Predictor.from_pretrained("zoo://scenes", precision="float32").score(images, captions)
    assert max(abs(job.scores[i * 7] - score) for i, score in enumerate(scores)) < 1e-4


def test_driver(folder: Path, server: S3Server, undisturbed: Undisturbed) -> None:
    """At random moments, from before its start to after its end."""
    rng, started, jobs, kills = Random(3), time.monotonic(), 0, 0
    while kills < 20:
        jobs += 1
        job = Job(folder, server, f"driver{jobs}")
        while kills < 20:
            driver = job.start()
            time.sleep(rng.uniform(0, undisturbed[0]))
            if driver.poll() is not None:
                break
            driver.kill()
            driver.wait()
            kills += 1
        job.finish()
        if kills < 20:
            job.outcome(f"driver killed (job {jobs})", kills)
            same_scores(job, undisturbed)
    lost = (time.monotonic() - started - jobs * undisturbed[0]) / kills
    job.outcome("driver killed (seconds lost: each)", kills, lost)
    same_scores(job, undisturbed)


@pytest.mark.parametrize("title", ["MapWorker", "ReadTable", "Monitor"])
def test_worker(folder: Path, server: S3Server, undisturbed: Undisturbed, title: str) -> None:
    """An actor with the model, a task that decodes, the actor that counts: Ray starts another, the job goes on."""
    job = Job(folder, server, f"worker-{title.lower()}")
    started, kills = time.monotonic(), 0
    driver = job.start()
    for parts in range(1, FAULTS + 1):
        if title != "ReadTable":
            job.wait_for_parts(parts, driver)
        kills += job.kill_worker(driver, title)
        time.sleep(0.5)
    assert driver.wait(timeout=400) == 0, job.log.read_text()[-3000:]
    assert kills
    job.outcome(f"{title} killed", kills, time.monotonic() - started - undisturbed[0])
    same_scores(job, undisturbed)


def test_s3_server(folder: Path, server: S3Server, undisturbed: Undisturbed) -> None:
    """Killed in mid-run, back after ten seconds."""
    job = Job(folder, server, "server")
    started = time.monotonic()
    driver = job.start()
    job.wait_for_parts(2, driver)
    assert driver.poll() is None
    server.kill()
    time.sleep(10)
    server.start()
    assert driver.wait(timeout=400) == 0, job.log.read_text()[-3000:]
    job.outcome("S3 server killed, back after 10 s", 1, time.monotonic() - started - undisturbed[0])
    same_scores(job, undisturbed)
