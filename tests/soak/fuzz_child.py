"""Run one fuzz target in a separate process, which fuzzing.py starts.

python tests/soak/fuzz_child.py config|samples|runs|tables --reproduce FILE    run the target on a kept input
python tests/soak/fuzz_child.py config|samples|runs|tables --keep FOLDER [option of libFuzzer ...]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import mlcli

# Maps the name of a target to "module:Class". A new target needs a file and a row here.
TARGETS = {
    "config": "fuzz_config:ConfigTarget",
    "samples": "fuzz_samples:SamplesTarget",
    "images": "fuzz_images:ImagesTarget",
    "runs": "fuzz_runs:RunsTarget",
    "tables": "fuzz_tables:TablesTarget",
}
_PACKAGE_FOLDER = Path(mlcli.__file__).parent
# Packages that are instrumented to report their coverage: mlcli, and the Python parsers that it uses.
_INSTRUMENTED = ["mlcli", "PIL", "skops"]


class Target(Protocol):
    """A fuzz target: passes fuzzed bytes to the readers of mlcli."""

    def seeds(self) -> Iterator[bytes]: ...

    def dictionary_entries(self) -> Iterable[str]: ...

    def check(self, data: bytes) -> None:
        """Read the input. Must not raise for any input."""
        ...


def main() -> None:
    arguments, options = _arguments()
    if arguments.reproduce:
        with tempfile.TemporaryDirectory(prefix="mlcli-fuzz-") as folder:
            _build_target(arguments.target, Path(folder), nullcontext()).check(arguments.reproduce.read_bytes())
        print("no finding: the input is read, or rejected with an error message")
    else:
        _fuzz(arguments.target, arguments.scratch, arguments.keep, options)


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--reproduce", type=Path, metavar="FILE")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    return parser.parse_known_args()


def _build_target(name: str, scratch: Path, importing: AbstractContextManager[object]) -> Target:
    module, _, target = TARGETS[name].partition(":")
    with importing:
        create = cast("Callable[[Path], Target]", getattr(import_module(module), target))
    return create(scratch)


def _fuzz(name: str, scratch: Path, keep: Path, options: list[str]) -> None:
    import atheris

    sys.dont_write_bytecode = True  # a late import must not look like a reader that writes files
    target = _build_target(name, scratch, atheris.instrument_imports(include=_INSTRUMENTED))
    corpus, seeds, dictionary = scratch / "corpus", scratch / "seeds", scratch / "dictionary"
    corpus.mkdir()
    seeds.mkdir()
    for number, seed in enumerate(target.seeds()):
        (seeds / f"{number:05}").write_bytes(seed)
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in target.dictionary_entries()))
    recorder = _Recorder(target, keep, name)
    files = [f"-artifact_prefix={keep}/{name}-", f"-dict={dictionary}", str(corpus), str(seeds)]
    atheris.Setup([sys.argv[0], *options, *files], recorder.check)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    """Return the word in the notation of libFuzzer dictionaries."""
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


class _Recorder:
    """Calls the target without raising, and keeps one input per exception type and source line with its traceback."""

    def __init__(self, target: Target, keep: Path, name: str) -> None:
        self._target = target
        self._keep = keep
        self._name = name
        self._seen: set[str] = set()

    def check(self, data: bytes) -> None:
        try:
            self._target.check(data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._record(data, error)

    def _record(self, data: bytes, error: BaseException) -> None:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).is_relative_to(_PACKAGE_FOLDER)
        ]
        location = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        finding = f"{type(error).__name__} {location}"
        if finding in self._seen:
            return
        self._seen.add(finding)
        file = self._keep / f"{self._name}-{hashlib.sha256(data).hexdigest()[:12]}"
        file.write_bytes(data)
        file.with_name(f"{file.name}.txt").write_text(
            "".join(traceback.format_exception(error)), errors="backslashreplace"
        )


if __name__ == "__main__":
    main()
