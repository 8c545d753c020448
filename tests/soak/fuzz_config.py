"""Fuzz configuration files, `extends`, `--set` and environment variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from watched import read_or_refused

from mlcli.config.dump import json_schema, to_yaml
from mlcli.config.experiment import load_experiment, read_layers
from mlcli.config.schema import ExperimentConfig
from mlcli.experiment.plan import make_plan

_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_HOSTILE = (
    b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmodel: *c\n",
    b"model: " + b"{a: " * 40 + b"1" + b"}" * 40,
    b"model: !!python/object/apply:os.system ['true']\n",
    b'name: "\\uD800\\e[2J"\n',
    b"seed: 0x7fffffffffffffff\noptimizer: {lr: 1_0e-3}\n",
    b"? [a, b]\n: c\n<<: {seed: 1}\n<<: [{seed: 2}, 3]\n",
    b"extends: [../base.yaml, ../../etc/passwd]\n",
    b"model: {name: estimator, estimator: SVC, parameters: {C: 1.0, kernel: !x rbf}}\n",
    b"backends: {torch: {optimizer: sgd}, sklearn: , keras: {backends: {}}}\n",
    b"--- {}\n--- {}\n",
    b"%YAML 9.9\n---\nseed: 012\n",
)

_Load = Callable[[], ExperimentConfig]


class ConfigTarget:
    """Fuzzes the configuration reader.

    The first byte selects how the remaining bytes are given: as a file, as a file that extends another, as a file that
    another extends, as `--set` options or as environment variables.
    """

    def __init__(self, scratch: Path) -> None:
        self._file = scratch / "fuzzed.yaml"
        self._base = scratch / "base.yaml"
        self._base.write_bytes((_CONFIGS / "digits_mlp.yaml").read_bytes())
        self._ways = (self._in_a_file, self._over_another, self._under_another, self._as_settings, self._as_variables)

    def seeds(self) -> Iterator[bytes]:
        texts = [path.read_bytes() for path in sorted(_CONFIGS.glob("*.yaml"))]
        for way in range(3):
            yield from (bytes([way]) + text for text in (*texts, *_HOSTILE))
        yield bytes([3]) + b"optimizer.lr=0.01\nmodel.hidden=[128, 64]\nmodel={name: cnn}\nbackends.torch.optimizer=sgd"
        yield bytes([4]) + b"MLCLI_SEED=3\nMLCLI_OPTIMIZER__LR=0.01\nMLCLI_DEVICE=cpu\nMLCLI_MODEL__PARAMETERS__C=1"

    def dictionary_entries(self) -> Iterable[str]:
        """Return the fragments that configurations consist of."""
        yield from (": ", "- ", "<<: ", "&a ", "*a", "!!", "null", "true", "\n  ", "1e-3", ".nan", "[]", "{}", '"\\u')
        yield from ("extends: base.yaml\n", "extends: fuzzed.yaml\n", "MLCLI_")
        yield from sorted(set(_names_in_schema(json_schema())))

    def check(self, data: bytes) -> None:
        """Check that loading yields an experiment that survives writing and reading, or ends with a clean error."""
        way = self._ways[data[0] % len(self._ways)] if data else self._in_a_file
        load, config = way(data[1:]), None
        with read_or_refused():
            config = load()
        if config is not None:
            self._check_round_trip(config)
            with read_or_refused():
                make_plan(config)

    def _check_round_trip(self, config: ExperimentConfig) -> None:
        self._file.write_text(to_yaml(config), encoding="utf-8")
        again = load_experiment(self._file, environ={})
        assert again == config, f"{config!r} changed when written and read again: {again!r}"

    def _in_a_file(self, text: bytes) -> _Load:
        self._file.write_bytes(text)
        return lambda: (read_layers(self._file, {}).backends(), load_experiment(self._file, environ={}))[1]

    def _over_another(self, text: bytes) -> _Load:
        return self._in_a_file(b"extends: base.yaml\n" + text)

    def _under_another(self, text: bytes) -> _Load:
        self._file.write_bytes(text)
        above = self._file.with_name("above.yaml")
        above.write_text("extends: [base.yaml, fuzzed.yaml]\noptimizer: {name: sgd}\n")
        return lambda: load_experiment(above, environ={})

    def _as_settings(self, text: bytes) -> _Load:
        # Python decodes command line arguments with surrogateescape: bytes that are not UTF-8 become lone surrogates.
        settings = text.decode("utf-8", "surrogateescape").split("\n")
        return lambda: load_experiment(None, settings=settings, environ={})

    def _as_variables(self, text: bytes) -> _Load:
        pairs = (line.partition("=") for line in text.decode("utf-8", "surrogateescape").split("\n"))
        environ = {name: value for name, _, value in pairs}
        return lambda: load_experiment(self._base, environ=environ)


def _names_in_schema(schema: Any) -> Iterator[str]:
    """Yield the keys and choices of a JSON Schema."""
    if isinstance(schema, list):
        for item in schema:
            yield from _names_in_schema(item)
    elif isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from (value for value in schema.get("enum", []) if isinstance(value, str))
        if isinstance(schema.get("const"), str):
            yield schema["const"]
        for item in schema.values():
            yield from _names_in_schema(item)
