"""Coverage-guided fuzzing of one target, in a separate process with limits on time and memory."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from outcome import Outcome, last_line, quiet_environment

_CHILD = Path(__file__).with_name("fuzz_child.py")
_LONGEST_INPUT_BYTES = 32_768
_MOST_MEMORY_MB = 2_048
_LONGEST_SECONDS = 30  # for one input; far above any normal duration, so that a busy machine causes no finding
_START_SECONDS = 300  # in addition to the fuzzing time: imports, training, reading the seeds


def fuzz(target: str, seconds: int, keep: Path) -> Outcome:
    """Fuzz a target for a number of seconds.

    Inputs that raise, hang or use too much memory are written to the folder `keep`, one per source line.
    """
    if find_spec("atheris") is None:
        return Outcome("nothing", ("atheris is not installed: pip install -e '.[soak]'",))
    log = keep / f"{target}.log"
    with tempfile.TemporaryDirectory(prefix="mlcli-fuzz-", dir=_memory()) as scratch, log.open("wb") as output:
        command = [sys.executable, str(_CHILD), target, "--scratch", scratch, "--keep", str(keep), *_options(seconds)]
        try:
            code = subprocess.run(
                command, env=quiet_environment(), stdout=output, stderr=output, check=False,
                timeout=seconds + _START_SECONDS,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = None
    return _outcome(target, code, log, keep)


def _memory() -> str | None:
    """Return a folder in memory if the system has one; None selects the default temporary folder."""
    folder = Path("/dev/shm")
    return str(folder) if folder.is_dir() else None


def _options(seconds: int) -> list[str]:
    return [
        f"-max_total_time={seconds}", f"-timeout={_LONGEST_SECONDS}", f"-report_slow_units={_LONGEST_SECONDS}",
        f"-rss_limit_mb={_MOST_MEMORY_MB}", f"-max_len={_LONGEST_INPUT_BYTES}", "-print_final_stats=1",
    ]  # fmt: skip


def _outcome(target: str, code: int | None, log: Path, keep: Path) -> Outcome:
    text = log.read_text(errors="replace")
    n_inputs = [int(number) for number in re.findall(r"^#(\d+)\s", text, re.MULTILINE)]
    n_edges = [int(number) for number in re.findall(r" cov: (\d+) ", text)]
    findings = [_finding(target, file) for file in sorted(keep.glob(f"{target}-*")) if file.suffix != ".txt"]
    is_complete = code == 0 and re.search(r"^Done \d+ runs", text, re.MULTILINE)
    if not is_complete and not findings:
        ending = "did not end" if code is None else f"ended early with exit code {code}"
        findings.append(f"{target}: the fuzzer {ending}: {last_line(text)}\n  see {log}")
    if is_complete and not n_edges:
        findings.append(f"{target}: no code was covered\n  see {log}")
    done = f"{max(n_inputs, default=0):,} inputs, {max(n_edges, default=0):,} edges covered"
    return Outcome(done, tuple(findings))


def _finding(target: str, file: Path) -> str:
    """Return the text of a finding: the end of its traceback, or its file name (for hangs, crashes and memory)."""
    traceback = file.with_name(f"{file.name}.txt")
    what = last_line(traceback.read_text()) if traceback.exists() else file.name.removeprefix(f"{target}-")
    return f"{target}: {what[:300]}\n  {sys.executable} {_CHILD} {target} --reproduce {file}"
