"""The values read from YAML files, and files refused before the schema is applied."""

from __future__ import annotations

import os
import re
import tracemalloc
from pathlib import Path

import pytest

from mlcli.config.experiment import load_experiment
from mlcli.config.schema import EstimatorModel
from mlcli.config.values import plain_scalar
from mlcli.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-2.5e2", -250.0),
        ("012", 12),
        ("-7", -7),
        ("60_000", 60_000),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("yes", "yes"),
        ("off", "off"),
        ("190:20:30", "190:20:30"),
        ("2020-01-01", "2020-01-01"),
        ("1__0", "1__0"),
        ("1.5.2", "1.5.2"),
        ("0b1", "0b1"),
        ("nan", "nan"),
        ("١٢", "١٢"),
    ],
)
def test_plain_scalars_mean_what_people_expect(text, value):
    found = plain_scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan", "1e999", "9223372036854775808", "9" * 100_000])
def test_numbers_that_are_not_finite_or_too_large_are_refused(text):
    with pytest.raises(ValueError, match=r"finite|too large"):
        plain_scalar(text)


def parameters(config):
    assert isinstance(config.model, EstimatorModel)
    return config.model.parameters


def test_quotes_anchors_and_merge_keys(load):
    config = load(
        "model:\n  name: estimator\n  estimator: RandomForestClassifier\n  parameters:\n"
        '    a: "1e-3"\n    b: &b {x: 1, y: 2}\n    c: {<<: *b, y: 3}\n    d: [*b]\n    e: {0: 1.5}\n'
        "    f: {<<: [{x: 8}, *b]}\n"
    )
    assert parameters(config) == {
        "a": "1e-3",
        "b": {"x": 1, "y": 2},
        "c": {"x": 1, "y": 3},
        "d": ({"x": 1, "y": 2},),
        "e": {0: 1.5},
        "f": {"x": 8, "y": 2},
    }


def test_a_byte_order_mark_is_accepted(load):
    assert load("\ufeffseed: 5\n").seed == 5


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ("", "x.yaml:1:1: is empty; write settings as `key: value` lines"),
        ("# only a comment\n", "x.yaml:1:1: is empty; write settings as `key: value` lines"),
        ("- seed\n", "x.yaml:1:1: must hold settings as `key: value` lines, not a list"),
        ("seed\n", "x.yaml:1:1: must hold settings as `key: value` lines, not 'seed'"),
        (b"# caf\xc3\xa9\nname: caf\xe9\n", "x.yaml:2:10: is not UTF-8 (byte 0xe9); save it as UTF-8"),
        ("seed: 1\n".encode("utf-16"), "x.yaml:1:1: is UTF-16; save it as UTF-8"),
        ("seed: 1\nname: \x1b[31m\n", "x.yaml:2:7: the character \\x1b is not allowed here"),
        ("seed: 1\x00\n", "x.yaml:1:8: the character \\x00 is not allowed here"),
        ("training:\n\tepochs: 5\n", "x.yaml:2:1: a tab cannot indent YAML; use spaces"),
        ("seed: 1\n---\nseed: 2\n", "x.yaml:2:1: holds a second document; write one per file"),
        ("seed: 1\nname: a\nseed: 2\n", "x.yaml:3:1: seed: is set twice (first in line 1)"),
        ("optimizer: {lr: 1, lr: 2}\n", "x.yaml:1:20: optimizer.lr: is set twice (first in line 1)"),
        ("seed: !!int 3\n", "x.yaml:1:7: seed: the tag !!int is not allowed; only plain values are"),
        ("seed: !secret 3\n", "x.yaml:1:7: seed: the tag !secret is not allowed; only plain values are"),
        ("seed: *a\n", "x.yaml:1:7: is not valid YAML: found undefined alias"),
        ("dataset: &a {name: *a}\n", "x.yaml:1:10: contains itself through an alias"),
        ("a: &a 1\nb: &a 2\n", "x.yaml:2:4: is not valid YAML: duplicate anchor"),
        ("a: &a {<<: *a}\n", "x.yaml:1:4: contains itself through an alias"),
        ("seed: .inf\n", "x.yaml:1:7: seed: numbers must be finite, got '.inf'"),
        ("optimizer: {lr: 1e999}\n", "x.yaml:1:17: optimizer.lr: numbers must be finite, got '1e999'"),
        ("true: 1\n", "x.yaml:1:1: a key must be a name, got true"),
        ("? [a, b]\n: 1\n", "x.yaml:1:3: a key must be a name, got a list"),
        ("<<: 3\n", "x.yaml:1:5: <<: needs a mapping or a list of mappings, got 3"),
        ("%TAG ! tag:a,b:\n---\nseed: 3\n", "x.yaml:1:1: the directive %TAG is not allowed; only plain values are"),
        ("seed: 3\n...\r%TAG ! a\n---\n", "x.yaml:3:1: the directive %TAG is not allowed; only plain values are"),
    ],
)
def test_an_unreadable_file_is_one_issue_with_its_location(issues, text, issue):
    assert issues(text) == [issue]


@pytest.mark.parametrize("text", ["# first\nname: @x\n", "# first\nname: a: b\n", "seed: 1\nname: [\n"])
def test_invalid_yaml_is_one_issue_with_its_location(issues, text):
    (line,) = issues(text)
    assert re.match(r"x\.yaml:[23]:\d+: is not valid YAML: \w", line)


def test_python_tags_are_refused_and_nothing_is_executed(issues, tmp_path):
    target = tmp_path / "executed"
    lines = issues(f"name: !!python/object/apply:os.mkdir [{target}]\n")
    assert any("the tag !!python/object/apply:os.mkdir is not allowed" in line for line in lines)
    assert not target.exists()


def peak_bytes_of_refusal(path):
    """Return the peak memory that Python allocated while refusing a file, and the message."""
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError) as error:
            load_experiment(path, environ={})
        return tracemalloc.get_traced_memory()[1], str(error.value)
    finally:
        tracemalloc.stop()


def test_a_huge_file_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"seed: 1\n")
    os.truncate(path, 50_000_000)
    peak, message = peak_bytes_of_refusal(path)
    assert message == f"{path}: is larger than 1 MB, which no experiment needs; is it the right file?"
    assert peak < 1_000_000


def test_an_endless_file_is_refused():
    with pytest.raises(ConfigError, match=r"^/dev/zero: cannot be read: it is not a regular file"):
        load_experiment(Path("/dev/zero"), environ={})


def test_an_alias_bomb_is_refused_before_it_expands(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    peak, message = peak_bytes_of_refusal(path)
    assert "4:5: holds more than 10000 values, aliases expanded" in message
    assert peak < 5_000_000


def test_a_merge_bomb_is_refused_before_it_expands(tmp_path):
    keys = ", ".join(f"k{n}: 1" for n in range(99))
    path = tmp_path / "bomb.yaml"
    path.write_text(f"a: &a {{{keys}}}\nb: {{<<: [{', '.join(['*a'] * 200)}]}}\n")
    assert "holds more than 10000 values" in peak_bytes_of_refusal(path)[1]


@pytest.mark.parametrize("text", ["a: " + "[" * 1000 + "]" * 1000, "{a: " * 1000, "- " * 1000, "[" * 900_000])
def test_deep_nesting_is_refused(issues, text):
    (line,) = issues(text)
    assert line.endswith("is nested more than 32 levels deep")


def test_aliases_cannot_hide_depth(issues):
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 40))]
    assert issues("\n".join(lines)) == ["x.yaml:32:6: is nested more than 32 levels deep"]


def test_terminal_escapes_never_reach_a_message(issues):
    text = '"\\e]0;title\\a": 1\nname: "\\e[31m\\u202Ered\\n"\nmodel: "\\e[2J"\ndataset: {scaling: "\\x9b1m"}\n'
    assert len(issues(text)) == 4  # the fixture asserts that every line is printable


def test_long_values_are_shortened(issues):
    (line,) = issues(f"seed: {'x' * 900_000}\n")
    assert line == f"x.yaml:1:7: seed: must be a whole number, got '{'x' * 57}...'"


def test_at_most_a_hundred_issues_are_shown_and_the_others_counted(issues):
    lines = issues("".join(f"key{n}: 1\n" for n in range(1000)))
    assert len(lines) == 101
    assert lines[0].startswith("x.yaml:1:1: key0: unknown key")
    assert lines[-1] == "... and 900 more issues"


def test_a_missing_file_suggests_a_similar_name_in_the_directory(tmp_path):
    (tmp_path / "digits_mlp.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError) as error:
        load_experiment(tmp_path / "digit_mlp.yaml", environ={})
    assert str(error.value) == (f"{tmp_path}/digit_mlp.yaml: no such file (did you mean '{tmp_path}/digits_mlp.yaml'?)")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".", "is a directory; name a YAML file in it"),
        ("a\0b", "cannot be read: embedded null byte"),
        ("\x1b[31m.yaml", "no such file"),
        ("x" * 300, "cannot be read: File name too long"),
        ("\udcff.yaml", "no such file"),
    ],
)
def test_paths_that_are_not_files_are_refused(tmp_path, name, reason):
    with pytest.raises(ConfigError) as error:
        load_experiment(tmp_path / name, environ={})
    assert str(error.value).endswith(f": {reason}")
    assert str(error.value).isprintable()


def test_a_version_directive_and_text_like_a_directive_are_accepted(load):
    text = '%YAML 1.1\n---\nmodel: {name: estimator, estimator: SVC, parameters: {a: "%TAG", b: " %TAG a"}}\n'
    assert parameters(load(text)) == {"a": "%TAG", "b": " %TAG a"}


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match=r"x\.yaml: cannot be read: it is not a regular file"):
        load_experiment(tmp_path / "x.yaml", environ={})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("seed: 1\n")
    path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load_experiment(path, environ={})
