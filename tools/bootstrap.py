"""Make `.venv` with exactly the packages of requirements.lock.

Run with any Python by `make setup`; needs the standard library only, so that it can explain what is missing.
A stamp with the lock's SHA-256 is written last: an interrupted installation is taken up again, a finished one
is left alone. Old interpreters must be able to read this file, to be told that they are too old: no syntax
newer than Python 3.7.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed.stamp"
LOG = VENV / "install.log"
NEEDED_PYTHON = (3, 11)
# PyTorch's Linux wheels bring CUDA libraries; those of macOS and Windows do not.
NEEDED_GIB = 8 if sys.platform.startswith("linux") else 3

# What pip says, most telling first, and what it means for the reader.
FAILURES = [
    (
        r"No space left on device|Errno 28",
        "the disk is full. Make room (about {gib} GiB in all) and run the command again.",
    ),
    (
        (
            r"NewConnectionError|Failed to establish a new connection|NameResolutionError"
            r"|Name or service not known"
            r"|Temporary failure in name resolution|ConnectTimeout|Read timed out|Network is unreachable"
            r"|ProxyError|ConnectionResetError|Connection refused"
        ),
        (
            "the package index cannot be reached: no network, or a proxy in between. Connect and run the\n"
            "command again; what was downloaded is kept. Behind a mirror, set PIP_INDEX_URL to its address."
        ),
    ),
    (
        r"DO NOT MATCH THE HASHES",
        (
            "a downloaded package differs from the one that requirements.lock names, so it was not\n"
            "installed."
            " A mirror may hold another build of it; `make lock` would write a new lock."
        ),
    ),
    (
        (
            r"No matching distribution found for (?P<name>\S+)"
            r"|Could not find a version that satisfies the requirement (?P<other>\S+)"
        ),
        (
            "the package {name} cannot be had for this Python ({python}) and machine ({machine}) from the\n"
            "index in use. "
            "Try a Python between 3.11 and 3.13, or another index through PIP_INDEX_URL."
        ),
    ),
    (
        r"ResolutionImpossible|conflicting dependencies",
        "the requirements contradict each other on this machine. Run `make lock` to solve them again.",
    ),
]


def stop(message: str) -> None:
    """Print why it cannot go on and exit with status 1."""
    sys.stderr.write("\nSetup stopped: " + message + "\n")
    raise SystemExit(1)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def venv_python() -> Path:
    """Path of the environment's interpreter on this system."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_python() -> None:
    """Stop when this interpreter is older than the book needs."""
    if sys.version_info < NEEDED_PYTHON:
        stop(
            "this is Python {}.{}, the book needs {}.{} or newer.\nIf a newer one is installed, name it: "
            "make book PYTHON=python3.12".format(*(tuple(sys.version_info[:2]) + NEEDED_PYTHON))
        )


def check_disk(needed_gib: float) -> None:
    """Stop when the disk that will hold `.venv` is too full."""
    free = shutil.disk_usage(str(ROOT)).free / 2**30
    if free < needed_gib:
        stop(f"{free:.1f} GiB are free at {ROOT}, the packages need about {needed_gib:.0f} GiB.")


def explain(log: str) -> str | None:
    """The reader's version of a pip failure, or None when it is not a known one."""
    for pattern, message in FAILURES:
        found = re.search(pattern, log)
        if found:
            groups = found.groupdict()
            name = groups.get("name") or groups.get("other") or ""
            python = "{}.{}".format(*sys.version_info[:2])
            return message.format(gib=NEEDED_GIB, name=name, python=python, machine=sysconfig.get_platform())
    return None


def make_venv() -> None:
    """Create `.venv`, or replace one whose creation was interrupted."""
    python = venv_python()
    if python.exists():
        works = subprocess.run(
            [str(python), "-c", "import pip, sys; sys.exit(sys.version_info < (3, 11))"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if works.returncode == 0:
            return
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(str(VENV), ignore_errors=True)
        said = done.stdout.decode(errors="replace")
        if "ensurepip" in said:
            version = "{}.{}".format(*sys.version_info[:2])
            stop(f"this Python cannot make environments. On Debian or Ubuntu: apt install python{version}-venv")
        stop("python -m venv failed:\n" + said)


def pip(arguments: list[str]) -> None:
    """Run pip in the environment with one line of progress; stop with a clear message when it fails."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PYTHONUNBUFFERED="1")
    command = [str(venv_python()), "-m", "pip", "install", "--progress-bar", "off", *arguments]
    live = sys.stdout.isatty()
    start, count, log = time.time(), 0, []
    with LOG.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=str(ROOT)
        )
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode(errors="replace")
            file.write(line)
            log.append(line)
            step = re.match(r"\s*(Collecting|Installing collected packages)\b[: ]*([\w.-]*)", line)
            if step and live:
                count += step.group(1) == "Collecting"
                what = f"{count} packages, {step.group(2)}" if step.group(1) == "Collecting" else "unpacking"
                sys.stdout.write("\r\033[K" + f"  {what} ({time.time() - start:.0f} s)"[:79])
                sys.stdout.flush()
        code = process.wait()
    if live:
        sys.stdout.write("\r\033[K")
    if code != 0:
        said = "".join(log)
        reason = explain(said) or "pip failed:\n" + "".join(log[-15:])
        stop(reason + f"\nThe whole log: {LOG.relative_to(ROOT)}")
    print(f"  installed in {time.time() - start:.0f} s", flush=True)


def add_path() -> None:
    """Let the environment import `tlhelpers` from this checkout, without building a package."""
    # Python reads the line in the encoding of the locale, so that a path with an umlaut would stop every start.
    line = f"import os, sys; sys.path.append(os.fsdecode({os.fsencode(str(ROOT))!r}))\n"
    code = (
        "import os, sys, sysconfig\n"
        "with open(os.path.join(sysconfig.get_paths()['purelib'], 'tlhelpers-checkout.pth'), 'w') as file:\n"
        "    file.write(sys.argv[1])\n"
    )
    subprocess.run([str(venv_python()), "-c", code, line], check=True)


def fetch_data() -> None:
    """Fetch the data that no wheel carries, once; stop with the fetcher's own words when they cannot be had."""
    if subprocess.run([str(venv_python()), "-m", "tlhelpers.data"], cwd=str(ROOT), check=False).returncode != 0:
        stop("the packages are installed, but a data set is missing (see above).")


def has_data() -> bool:
    """Whether the fetched data lie where `python -m tlhelpers.data` puts them."""
    return len(list((ROOT / ".cache" / "sentiment").glob("*.txt"))) == 4


def stamp(name: str) -> bytes:
    """What an installation from a file leaves behind: the file's name and digest, and this place."""
    return f"{name} {sha256(ROOT / name)}\n".encode() + os.fsencode(str(ROOT)) + b"\n"


def is_current() -> bool:
    """Whether a finished installation fits the lock (or, made with --ranges, the ranges) and this place."""
    if not STAMP.exists() or not venv_python().exists():
        return False
    return STAMP.read_bytes() in [stamp(name) for name in ("requirements.lock", "requirements.txt")]


def main(argv: list[str] | None = None) -> int:
    """Command line of the set-up; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Make .venv with the book's packages. pip's own settings work, for instance "
        "PIP_INDEX_URL for a mirror."
    )
    parser.add_argument(
        "--ranges",
        action="store_true",
        help="install from the ranges of requirements.txt instead of the lock: for a machine where the "
        "locked wheels do not fit, such as a laptop that wants PyTorch without CUDA (PIP_EXTRA_INDEX_URL)",
    )
    arguments = parser.parse_args(argv)
    if is_current():
        if not has_data():
            fetch_data()
        return 0
    check_python()
    # A second, interrupted try already holds part of the packages.
    check_disk(NEEDED_GIB if not STAMP.exists() and not LOG.exists() else NEEDED_GIB / 4)
    name = "requirements.txt" if arguments.ranges else "requirements.lock"
    print(f"Installing the book's packages into .venv from {name} (some minutes, once)", flush=True)
    make_venv()
    if STAMP.exists():
        STAMP.unlink()
    pip(["-r", name] if arguments.ranges else ["--require-hashes", "-r", name])
    add_path()
    partial = STAMP.with_suffix(".partial")
    partial.write_bytes(stamp(name))
    os.replace(str(partial), str(STAMP))
    fetch_data()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        stop("interrupted. Run the command again; it goes on where it was.")
