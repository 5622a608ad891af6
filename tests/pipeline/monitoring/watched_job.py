"""A job on a Ray that exports its metrics on a port, and is there until stdin ends: `CONFIG PORT`."""

import json
import sys
from dataclasses import asdict

import ray

from pipeline import JobConfig, run

if __name__ == "__main__":
    ray.init(
        address="local",
        num_cpus=3,
        include_dashboard=False,
        logging_level="warning",
        _metrics_export_port=int(sys.argv[2]),
        _system_config={"metrics_report_interval_ms": 1000},
    )
    print(json.dumps(asdict(run(JobConfig.load("score", sys.argv[1]), log_every=1.0))), flush=True)
    sys.stdin.read()
    ray.shutdown()
