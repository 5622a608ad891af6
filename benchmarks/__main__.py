"""All benchmarks, one after the other: `make bench`, about 30 minutes on 2 cores."""

import subprocess
import sys

for name in ("model", "agreement", "family", "preprocess", "job", "scale", "rank", "filter", "scaling", "many_files"):
    print(f"\n## python -m benchmarks.{name}\n", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True, stderr=subprocess.DEVNULL)
