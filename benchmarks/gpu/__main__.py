"""Measure the models on a GPU: `python -m benchmarks.gpu [--only parity,rates] [--device cpu] [--tiny]`.

Needs neither the internet nor Ray; the last section runs the whole job where Ray can be imported. Prints Markdown
while it goes, and writes it to $OUT where that is set. A failure costs its own row and is told at the end.
"""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from benchmarks.gpu import copies, job, kernels, parity, rates
from benchmarks.gpu.report import Report

SECTIONS = {  # name -> title, what runs, and the seconds without which it is not begun
    "rates": ("Rates", rates.run, 20),
    "kernels": ("Kernels", kernels.run, 20),
    "parity": ("Parity", parity.run, 20),
    "copies": ("Copies", copies.run, 10),
    "job": ("The whole job", job.run, 90),
    "compile": ("Compiled and captured", rates.late, 60),
}
TINY_LEFT_OUT = ("compile", "job")


def versions() -> str:
    """Return the versions of what matters, of what is installed."""
    found = []
    for name in ("torch", "triton", "transformers", "ray", "pyarrow"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return f"Python {platform.python_version()}, " + ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help=f"sections, of {','.join(SECTIONS)}")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=480, help="within which it is done (default 480)")
    parser.add_argument("--tiny", action="store_true", help="the sizes of a test")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cpu" and not given.tiny:
        parser.error("no GPU: torch sees none; --tiny runs a small part on the CPU")
    report = Report(device, given.tiny, given.seconds)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    report.say(f"# {name}", "", versions())
    wanted = given.only.split(",") if given.only else [n for n in SECTIONS if not (given.tiny and n in TINY_LEFT_OUT)]
    for name in wanted:
        title, run, needs = SECTIONS[name]
        report.section(name, title, run, 0 if given.tiny else needs)
    report.finish()


if __name__ == "__main__":
    main()
