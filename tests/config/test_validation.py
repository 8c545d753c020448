"""All issues of a configuration are reported at once, with their locations."""

from __future__ import annotations

import pytest

from mlcli.config.schema import Sgd

TOP_LEVEL = "name, backend, seed, dataset, model, init_from, optimizer, schedule, training, runtime, backends"


@pytest.mark.parametrize(
    ("line", "issue"),
    [
        ("optimizer: {lr: -1}", "17: optimizer.lr: must be greater than 0, got -1"),
        ("optimizer: {lr: '0.1'}", "17: optimizer.lr: must be a number, got '0.1' (remove the quotes)"),
        ("optimizer: {lr: true}", "17: optimizer.lr: must be a number, got true"),
        ("optimizer: {lr: [1]}", "17: optimizer.lr: must be a number, got a list"),
        ("optimizer: {lr: nan}", "17: optimizer.lr: must be a number, got 'nan'"),
        ("optimizer: {weight_decay: -1}", "27: optimizer.weight_decay: must be at least 0, got -1"),
        ("optimizer: {beta1: 1}", "20: optimizer.beta1: must be less than 1, got 1"),
        (
            "optimizer: adm",
            "12: optimizer.name: unknown optimizer 'adm' (did you mean 'adam'?); "
            "known: sgd, adam, adamw, rmsprop, lbfgs",
        ),
        ("optimizer: {name: 5}", "19: optimizer.name: must be one of sgd, adam, adamw, rmsprop, lbfgs, got 5"),
        ("optimizer: 5", "12: optimizer: must be a mapping of settings, got 5"),
        (
            "optimizer: {name: sgd, momentun: 0.9}",
            "24: optimizer.momentun: unknown key of sgd (did you mean 'momentum'?)",
        ),
        (
            "optimizer: {name: adam, zzz: 0.9}",
            "25: optimizer.zzz: unknown key of adam; known: name, lr, weight_decay, beta1, beta2, epsilon",
        ),
        ("optimizer: {name: sgd, nesterov: true}", "34: optimizer.nesterov: needs momentum above 0"),
        ("optimizer: {name: sgd, nesterov: yes}", "34: optimizer.nesterov: must be true or false, got 'yes'"),
        ("training: {epoch: 5}", "12: training.epoch: unknown key (did you mean 'epochs'?)"),
        ("training: {epochs: 0}", "20: training.epochs: must be at least 1, got 0"),
        ("training: {epochs: five}", "20: training.epochs: must be a whole number, got 'five'"),
        ("training: {epochs: '5'}", "20: training.epochs: must be a whole number, got '5' (remove the quotes)"),
        ("training: {epochs: 2.5}", "20: training.epochs: must be a whole number, got 2.5"),
        ("training: {epochs: 3.0}", "20: training.epochs: must be a whole number, got 3.0"),
        ("training: {epochs: true}", "20: training.epochs: must be a whole number, got true"),
        ("training: {epochs: 2147483648}", "20: training.epochs: must be at most 100000, got 2147483648"),
        (
            "training: {early_stopping: {patience: 0}}",
            "39: training.early_stopping.patience: must be at least 1, got 0",
        ),
        (
            "training: {early_stopping: {patiense: 1}}",
            "29: training.early_stopping.patiense: unknown key (did you mean 'patience'?)",
        ),
        ("training: 5", "11: training: must be a mapping of settings, got 5"),
        ("training:", "10: training: must be a mapping of settings, got null"),
        ("seed: null", "7: seed: must be a whole number, got null"),
        ("seed: 4294967296", "7: seed: must be less than 4294967296, got 4294967296"),
        ("model: {hidden: [8, 0]}", "21: model.hidden[1]: must be at least 1, got 0"),
        ("model: {hidden: 8}", "17: model.hidden: must be a list, got 8"),
        ("model: {hidden: []}", "17: model.hidden: must have at least 1 entry"),
        (
            "model: {activation: reluu}",
            "21: model.activation: must be one of relu, tanh, sigmoid, gelu, got 'reluu' (did you mean 'relu'?)",
        ),
        ("model: {name: cnn, kernel_size: 4}", "33: model.kernel_size: must be odd, got 4"),
        ("model: {name: estimator}", "8: model.estimator: is required"),
        ("model: {name: estimator, estimator: 5}", "37: model.estimator: must be text, got 5 (put it in quotes)"),
        (
            "model: {name: estimator, estimator: SVC, parameters: {1: 2}}",
            "55: model.parameters.1: must be text, got 1 (put it in quotes)",
        ),
        (
            "model: {name: estimator, estimator: os.system}",
            "37: model.estimator: must be a plain name, e.g. SVC or max_depth, got 'os.system'",
        ),
        (
            'model: {name: estimator, estimator: "SVC\\e[31m"}',
            "37: model.estimator: must be a plain name, e.g. SVC or max_depth, got 'SVC\\x1b[31m'",
        ),
        (
            'model: {name: estimator, estimator: SVC, parameters: {C: 1, "\\e[31m": 2}}',
            "61: model.parameters.\\x1b[31m: must be a plain name, e.g. SVC or max_depth, got '\\x1b[31m'",
        ),
        ("dataset: {test: 1.5}", "17: dataset.test: must be auto, train, or a fraction above 0 and below 1, got 1.5"),
        (
            "dataset: {test: '0.5'}",
            "17: dataset.test: must be auto, train, or a fraction above 0 and below 1, got '0.5'",
        ),
        (
            "dataset: {validation: train}",
            "23: dataset.validation: must be a fraction above 0 and below 1, test, or null, got 'train'",
        ),
        ("dataset: {limit: -5}", "18: dataset.limit: must be at least 1, got -5"),
        ("runtime: {device: cuda:x}", "19: runtime.device: must be auto, cpu, cuda, cuda:N or mps, got 'cuda:x'"),
        ("runtime: {device: 0}", "19: runtime.device: must be auto, cpu, cuda, cuda:N or mps, got 0"),
        ("backend: tensorflow", "10: backend: must be one of sklearn, torch, keras, got 'tensorflow'"),
        ("backend: Torch", "10: backend: must be one of sklearn, torch, keras, got 'Torch' (did you mean 'torch'?)"),
        (
            "init_from: {run: a, weights: 0f}",
            "30: init_from.weights: must be the 64 hexadecimal digits of a sha256, got '0f'",
        ),
        *(
            (
                f'init_from: {{run: "{run}"}}',
                f"18: init_from.run: must be a directory, a run id, a unique prefix of one, or last, got '{shown}'",
            )
            for run, shown in (
                ("", ""),
                ("a\\0b", "a\\x00b"),
                ("a\\nb", "a\\nb"),
                ("\\e]0;a", "\\x1b]0;a"),
                ("\\x9b1m", "\\x9b1m"),
                ("x" * 256, "x" * 57 + "..."),
                ("x/" * 2048, "x/" * 28 + "x..."),
            )
        ),
        ("runtime: {threads: 2000000000}", "20: runtime.threads: must be at most 1024, got 2000000000"),
        ("init_from: {weights: null}", "12: init_from.run: is required"),
        ("sede: 5", "1: sede: unknown key (did you mean 'seed'?)"),
        ("zzzzzz: 5", f"1: zzzzzz: unknown key; known: {TOP_LEVEL}"),
        ('"[key]": 5', f"1: [key]: unknown key; known: {TOP_LEVEL}"),
        ('"": 5', f"1: '': unknown key; known: {TOP_LEVEL}"),
        ("5: 5", f"1: 5: unknown key; known: {TOP_LEVEL}"),
        (
            "backends: [torch]",
            "11: backends: must be a mapping from engines to the settings that differ there, got a list",
        ),
        ("backends: {tf: {}}", "12: backends.tf: unknown backend 'tf'; known: sklearn, torch, keras"),
        ("backends: {keras: 5}", "19: backends.keras: must be a mapping of settings, got 5"),
        (
            "backends: {keras: {backend: torch}}",
            "20: backends.keras.backend: cannot differ by engine; write it at the top level",
        ),
    ],
)
def test_one_issue_with_location_key_and_message(issues, line, issue):
    assert issues(f"# first line\n{line}\n") == [f"x.yaml:2:{issue}"]


@pytest.mark.parametrize(
    "name", ["../up", "/etc/passwd", "a/b", "a\\\\b", ".hidden", "a b", "a\\n", "a\\0", "\\e[31m", "x" * 65, "", "é"]
)
def test_names_that_are_not_plain_file_names_are_refused(issues, name):
    (line,) = issues(f'name: "{name}"\n')
    assert line.startswith("x.yaml:1:7: name: must be 1 to 64 letters, digits, dots, dashes or underscores")


@pytest.mark.parametrize("run", ["../runs/a", "/runs/a", "last", "runs/é b", "x" * 255, "x/" * 2047])
def test_any_possible_path_may_name_a_run(load, run):
    assert load(f'init_from: {{run: "{run}"}}\n').init_from.run == run


def test_an_integer_is_accepted_as_a_float(load):
    assert load("optimizer: {lr: 1}\n").optimizer.lr == 1.0


def test_devices_are_accepted_in_any_case(load):
    assert load("runtime: {device: CUDA:0}\n").runtime.device == "cuda:0"


def test_all_issues_are_reported_at_once_in_the_order_of_the_lines(issues):
    assert issues(
        "seed: -1\ntraining: {epoch: 5, batch_size: '8'}\noptimizer:\n  name: rmsprop\n  lr: 0\nmodel: mpl\n"
    ) == [
        "x.yaml:1:7: seed: must be at least 0, got -1",
        "x.yaml:2:12: training.epoch: unknown key (did you mean 'epochs'?)",
        "x.yaml:2:34: training.batch_size: must be a whole number, got '8' (remove the quotes)",
        "x.yaml:5:7: optimizer.lr: must be greater than 0, got 0",
        "x.yaml:6:8: model.name: unknown model 'mpl' (did you mean 'mlp'?); known: logistic, mlp, cnn, estimator",
    ]


def test_entries_of_engines_that_do_not_run_are_checked_too(issues):
    text = (
        "optimizer: {name: rmsprop, decay: 2}\n"
        "backends:\n"
        "  torch:\n"
        "  keras:\n"
        "    optimizer: {lr: -2}\n"
        "  sklearn:\n"
        "    model: {name: estimator}\n"
        "    optimizer: lbgfs\n"
    )
    assert issues(text, flags={"backend": "torch"}) == [
        "x.yaml:1:35: optimizer.decay: must be less than 1, got 2",
        "x.yaml:5:21: backends.keras.optimizer.lr: must be greater than 0, got -2",
        "x.yaml:7:12: backends.sklearn.model.estimator: is required",
        "x.yaml:8:16: backends.sklearn.optimizer.name: unknown optimizer 'lbgfs' (did you mean 'lbfgs'?); "
        "known: sgd, adam, adamw, rmsprop, lbfgs",
    ]


def test_an_issue_in_an_aliased_entry_is_located_at_its_anchor(issues):
    assert issues("backends:\n  torch: &same {seed: -1}\n  keras: *same\n") == [
        "x.yaml:2:23: backends.keras.seed: must be at least 0, got -1",
        "x.yaml:2:23: backends.torch.seed: must be at least 0, got -1",
    ]


def test_an_overridden_value_is_not_validated(load):
    assert load("seed: -1\n", flags={"seed": 1}).seed == 1
    assert load("seed: -1\nbackends: {torch: {}, keras: {}}\n", flags={"seed": 1}).seed == 1
    assert load("optimizer: {momentum: 0.5}\n", flags={"optimizer.name": "sgd"}).optimizer == Sgd(momentum=0.5)
