"""The stages of a job on Ray Data: the options of the flow. Whole flows are tested in `test_run`."""

import ray.data

from pipeline import JobConfig
from pipeline.scoring.dataflow import data_context


def test_options_are_those_of_the_flow_and_then_the_callers_again() -> None:
    values = {"input": {"path": "in"}, "model": "m", "output": {"path": "out"}, "batch": {"block_bytes": 12_345}}
    context = ray.data.DataContext.get_current()
    before = vars(context).copy()
    detectors = [*context.issue_detectors_config.detectors]
    with data_context(JobConfig.parse("score", values)):
        assert context.target_max_block_size == 12_345
        assert context.actor_init_retry_on_errors
        assert context.raise_original_map_exception
        assert context.issue_detectors_config.detectors == []
    assert vars(context) == before
    assert context.issue_detectors_config.detectors == detectors != []
