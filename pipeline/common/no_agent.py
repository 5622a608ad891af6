"""Stands in for the agent of Ray's dashboard: says that there is none, and ends with Ray.

A script that Ray runs with the agent's options. It imports as little as can be: it is there to save time.
"""

import os
import sys
import time

PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
NO_SERVICE = "-1"  # what Ray's own agent writes for services that are not installed


def main() -> None:
    """Write the ports, which Ray waits for; wait until Ray has ended."""
    parent = os.getppid()
    options = dict(one[2:].split("=", 1) for one in sys.argv if one.startswith("--") and "=" in one)
    for port in PORTS:
        path = f"{options['session-dir']}/{port}_{options['node-id']}"
        with open(f"{path}.tmp", "w") as file:
            file.write(NO_SERVICE)
        os.replace(f"{path}.tmp", path)
    while os.getppid() == parent != 1:  # 1 where Ray had ended before this began
        time.sleep(1)


if __name__ == "__main__":
    main()
