"""Measure what the build promises: seconds of each way to build, lines, and a training beside a busy process.

`make numbers` prints all, `python -m tools.numbers contention` one of them. A benchmark, no test: the seconds are
those of this machine, with whatever else runs on it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools.settings import ONE_THREAD, PATIENT

ROOT = Path(__file__).resolve().parent.parent
# Twelve steps as chapter 05 takes them: all layers, 32 images of 96 pixels.
STEPS = """
import time
import torch
import tlhelpers as tl

torch.manual_seed(0)
net = tl.models.load("efficientnet_lite0", num_classes=2).to(memory_format=torch.channels_last).train()
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
images = torch.randn(32, 3, 96, 96).contiguous(memory_format=torch.channels_last)
labels = torch.arange(32) % 2

def step():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(net(images), labels).backward()
    optimizer.step()

step()
start = time.perf_counter()
for _ in range(12):
    step()
print(time.perf_counter() - start)
"""
BUSY = "while True: pass"


def say(what: str, value: str, goal: str = "") -> None:
    """Print one number, and what it should be."""
    print(f"{what:<58}{value:>10}{f'   goal: {goal}' if goal else ''}", flush=True)


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    """Seconds that a command took, and what it printed; stops where it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed in {folder}:\n{done.stdout[-3000:]}")
    return time.perf_counter() - start, done.stdout


def contention() -> None:
    """The same training steps alone and beside one busy process, under three settings; the better of two runs."""
    plain = {name: value for name, value in os.environ.items() if name not in {*PATIENT, *ONE_THREAD}}
    for name, settings in {
        "as PyTorch starts": {},
        "patient (the book's)": PATIENT,
        "one thread": ONE_THREAD,
    }.items():
        seconds = []
        for neighbors in (0, 1):
            busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(neighbors)]
            try:
                runs = [
                    subprocess.run(
                        [sys.executable, "-c", STEPS],
                        cwd=ROOT,
                        env={**plain, **settings},
                        stdout=subprocess.PIPE,
                        text=True,
                        check=True,
                    )
                    for _ in range(2)
                ]
            finally:
                for process in busy:
                    process.kill()
                    process.wait()
            seconds.append(min(float(run.stdout) for run in runs))
        alone, beside = seconds
        say(f"12 training steps, {name}: seconds alone", f"{alone:.1f}")
        say(f"12 training steps, {name}: beside a busy process", f"{beside:.1f}")
        say("  times slower", f"{beside / alone:.1f}", "2.5" if settings is PATIENT else "")


def books() -> None:
    """Builds of a clone: fresh, unchanged, with other prose, with another docstring."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
        # The clone takes the environment that stands here; PYTHONPATH makes it import its own package.
        environment = {"PYTHONPATH": str(clone)}
        for name in (".venv", ".cache"):
            (clone / name).symlink_to(ROOT / name)
        command = [sys.executable, "-m", "tools.build"]

        def build(what: str, goal: str) -> None:
            seconds, said = timed(["env", *(f"{k}={v}" for k, v in environment.items()), *command], clone)
            say(f"make book, {what}: seconds", f"{seconds:.1f}", goal)
            say("  chapters executed", str(len(re.findall(r"executed in", said))), "0")

        build("in a fresh clone", "60")
        build("nothing changed", "5")
        chapter = sorted((clone / "book").glob("07-*.md"))[0]
        chapter.write_text(chapter.read_text(encoding="utf-8") + "\nOne more sentence.\n", encoding="utf-8")
        build("prose of one chapter changed", "40")
        module = clone / "tlhelpers" / "stats.py"
        text = module.read_text(encoding="utf-8")
        module.write_text(re.sub(r'^"""', '"""Changed. ', text, count=1), encoding="utf-8")
        build("a docstring changed", "")


def tests() -> None:
    """The whole of `make test`."""
    say("make test: seconds", f"{timed(['make', 'test'], ROOT)[0]:.0f}", "900")


def lines() -> None:
    """Lines of code in the cells of chapters, and of the package."""
    from tools.build import chapters
    from tools.notebooks import read_source

    cells = [cell for path in chapters(ROOT) for cell in read_source(path).cells if cell.cell_type == "code"]
    code = sum(bool(line.strip()) for cell in cells for line in cell.source.splitlines())
    package = sum(
        len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tlhelpers").rglob("*.py")
    )
    say("lines of code in the cells of chapters", f"{code:,}", "6,600")
    say("lines of the package", f"{package:,}", "4,600")


PARTS: dict[str, Callable[[], None]] = {"lines": lines, "books": books, "contention": contention, "tests": tests}


def main() -> None:
    """Command line: all parts, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("part", nargs="*", help=f"one of {', '.join(PARTS)}; all of them by default")
    for name in parser.parse_args().part or PARTS:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}; there are {', '.join(PARTS)}")
        PARTS[name]()


if __name__ == "__main__":
    main()
