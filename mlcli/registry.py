"""Every name that a configuration can choose, written once; readable without numpy, pydantic or a framework.

A new dataset is one file in `mlcli/data` and one row in DATASETS; a new engine is one file in `mlcli/engines` and one
row in BACKENDS. The schema, help texts, completions and messages take the names from here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlcli.errors import UsageError, unknown_name
from mlcli.records import DatasetInfo

# The names of the sections in the schema; a test compares them.
MODELS = ("logistic", "mlp", "cnn", "estimator")
ITERATIVE_OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
OPTIMIZERS = (*ITERATIVE_OPTIMIZERS, "lbfgs")
SCHEDULES = ("constant", "step", "cosine", "one_cycle")

DEFAULT_BACKEND = "torch"
DEFAULT_DATASET = "digits"
DEFAULT_MODEL = "mlp"
DEFAULT_OPTIMIZER = "adam"
DEFAULT_SCHEDULE = "constant"
LOGISTIC_SCHEDULE = "cosine"  # the problem is convex: with a falling learning rate, training ends at the minimum
DEFAULT_TEST_FRACTION = 0.2  # of a dataset without a test set

# Defaults of iterative training: as many epochs as make MIN_STEPS, at least MIN_EPOCHS; a small batch for small data.
MIN_EPOCHS, MIN_STEPS = 10, 1_000
FEW_STEPS = 100  # a run with fewer steps says so
SMALL_BATCH, LARGE_BATCH, LARGE_DATA = 32, 128, 10_000  # LARGE_DATA: training samples
LR, LOGISTIC_LR = 1e-3, 1e-2  # of adam, adamw and rmsprop


@dataclass(frozen=True)
class BackendInfo:
    """An engine and what it can do."""

    engine: str  # "module:name" of what builds it, called with the EngineSpec and the initial weights (or None)
    title: str
    optimizers: Mapping[str, tuple[str, ...]]  # by model; empty for a model that has its solver built in
    packages: tuple[str, ...] = ("numpy",)  # whose versions may change a result
    activations: tuple[str, ...] = ("relu", "tanh", "sigmoid", "gelu")
    has_dropout: bool = True
    has_compile: bool = False
    has_reduced_precision: bool = True  # matrix products in tf32 or bf16
    devices: tuple[str, ...] = ("cpu", "cuda", "mps")


BACKENDS: dict[str, BackendInfo] = {
    "sklearn": BackendInfo(
        engine="mlcli.engines.sklearn:build",
        title="scikit-learn",
        optimizers={"logistic": ("lbfgs",), "mlp": ("sgd", "adam"), "estimator": ()},
        packages=("numpy", "scipy", "scikit-learn"),
        activations=("relu", "tanh", "sigmoid"),
        has_dropout=False,
        has_reduced_precision=False,
        devices=("cpu", "cuda"),
    ),
    "torch": BackendInfo(
        engine="mlcli.engines.torch.engine:TorchEngine",
        title="PyTorch",
        optimizers=dict.fromkeys(("logistic", "mlp", "cnn"), ITERATIVE_OPTIMIZERS),
        packages=("numpy", "torch"),
        has_compile=True,
    ),
    "keras": BackendInfo(
        engine="mlcli.engines.keras.engine:KerasEngine",
        title="Keras on PyTorch",
        optimizers=dict.fromkeys(("logistic", "mlp", "cnn"), ITERATIVE_OPTIMIZERS),
        packages=("numpy", "torch", "keras"),
    ),
}


TABLE_SUFFIXES = (
    ".csv",
    ".tsv",
    ".txt",
    ".data",
    ".csv.gz",
    ".tsv.gz",
    ".txt.gz",
    ".parquet",
)  # of a person's own tables
ARRAY_SUFFIXES = (".npz", ".npy")  # of a person's own arrays


@dataclass(frozen=True)
class DatasetRow:
    """A dataset and what is known of it without reading it."""

    source: str  # "module:function" that returns the Source, called with the info
    info: DatasetInfo


_WINE = (
    *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
    *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline"),
)
_CELL_NUCLEUS = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points"),
    *("symmetry", "fractal dimension"),
)
_NUCLEI = tuple(  # statistics over the nuclei of one image
    f"{before}{name}{after}"
    for before, after in (("mean ", ""), ("", " error"), ("worst ", ""))
    for name in _CELL_NUCLEUS
)
_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

DATASETS: dict[str, DatasetRow] = {
    "iris": DatasetRow(
        source="mlcli.data.embedded:iris",
        info=DatasetInfo(
            name="iris",
            kind="table",
            input_shape=(4,),
            class_names=("setosa", "versicolor", "virginica"),
            feature_names=("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
            n_train=150,
            n_test=0,
            title="Iris flowers (Fisher, 1936)",
        ),
    ),
    "wine": DatasetRow(
        source="mlcli.data.embedded:wine",
        info=DatasetInfo(
            name="wine",
            kind="table",
            input_shape=(13,),
            class_names=("class_0", "class_1", "class_2"),
            feature_names=_WINE,
            n_train=178,
            n_test=0,
            title="Wines of three cultivars (Aeberhard and Forina, 1992)",
        ),
    ),
    "breast_cancer": DatasetRow(
        source="mlcli.data.embedded:breast_cancer",
        info=DatasetInfo(
            name="breast_cancer",
            kind="table",
            input_shape=(30,),
            class_names=("malignant", "benign"),
            feature_names=_NUCLEI,
            n_train=569,
            n_test=0,
            title="Breast cancer, Wisconsin (Wolberg et al., 1995)",
        ),
    ),
    "digits": DatasetRow(
        source="mlcli.data.embedded:digits",
        info=DatasetInfo(
            name="digits",
            kind="image",
            input_shape=(1, 8, 8),
            class_names=_DIGITS,
            feature_names=(),
            n_train=1797,
            n_test=0,
            title="Handwritten digits, 8x8 (Alpaydin and Kaynak, 1998)",
            maximum=16.0,
        ),
    ),
    "mnist": DatasetRow(
        source="mlcli.data.images:mnist",
        info=DatasetInfo(
            name="mnist",
            kind="image",
            input_shape=(1, 28, 28),
            class_names=_DIGITS,
            feature_names=(),
            n_train=60000,
            n_test=10000,
            title="MNIST handwritten digits (LeCun et al., 1998)",
            maximum=255.0,
        ),
    ),
    "fashion": DatasetRow(
        source="mlcli.data.images:fashion",
        info=DatasetInfo(
            name="fashion",
            kind="image",
            input_shape=(1, 28, 28),
            class_names=_CLOTHES,
            feature_names=(),
            n_train=60000,
            n_test=10000,
            title="Fashion-MNIST (Xiao et al., 2017)",
            maximum=255.0,
        ),
    ),
}


@dataclass(frozen=True)
class MetricInfo:
    """A metric of a scored split; its name is a field of `records.Metrics`."""

    title: str
    is_lower_better: bool = False
    needs_probabilities: bool = False
    needs_two_classes: bool = False  # whether there must be samples of at least two classes
    weighs_classes_equally: bool = False
    most: float = 1.0  # the largest possible value; the smallest is 0

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return -1 if self.is_lower_better else 1


METRICS: dict[str, MetricInfo] = {
    "accuracy": MetricInfo("accuracy"),
    "loss": MetricInfo("loss", is_lower_better=True, needs_probabilities=True, most=math.inf),
    "balanced_accuracy": MetricInfo("balanced accuracy", weighs_classes_equally=True),
    "macro_f1": MetricInfo("macro F1", weighs_classes_equally=True),
    "roc_auc": MetricInfo("ROC AUC", needs_probabilities=True, needs_two_classes=True, weighs_classes_equally=True),
    "pr_auc": MetricInfo("PR AUC", needs_probabilities=True, needs_two_classes=True, weighs_classes_equally=True),
    "brier_score": MetricInfo("Brier score", is_lower_better=True, needs_probabilities=True, most=2.0),
}
DEFAULT_METRIC = "accuracy"
IMBALANCED = 0.6  # from this accuracy of always predicting the largest class on, reports state it
# What early stopping can monitor: metrics of the validation split.
MONITORS = {f"validation_{name}": name for name in sorted(METRICS, key=lambda name: name != "loss")}


def backend_info(name: str) -> BackendInfo:
    """Return the row of an engine; UsageError with the nearest match for an unknown name."""
    if name not in BACKENDS:
        raise UsageError(unknown_name("backend", name, list(BACKENDS)))
    return BACKENDS[name]


def dataset_row(name: str) -> DatasetRow:
    """Return the row of a dataset; UsageError with the nearest match for an unknown name."""
    if name not in DATASETS:
        raise UsageError(unknown_name("dataset", name, list(DATASETS)))
    return DATASETS[name]


def dataset_info(name: str) -> DatasetInfo:
    """Return what is known of a dataset without reading it; UsageError for an unknown name."""
    return dataset_row(name).info


def trains_iteratively(backend: str, model: str) -> bool:
    """Whether the engine trains the model epoch by epoch rather than in a single fit."""
    optimizers = backend_info(backend).optimizers.get(model, ())
    return any(name in ITERATIVE_OPTIMIZERS for name in optimizers)


def default_optimizer(backend: str, model: str) -> str | None:
    """Return the optimizer of a configuration that names none; None for models that have their solvers built in."""
    known = () if model == "estimator" else (DEFAULT_OPTIMIZER,)
    optimizers = backend_info(backend).optimizers.get(model, known)
    return DEFAULT_OPTIMIZER if DEFAULT_OPTIMIZER in optimizers else next(iter(optimizers), None)


def alternatives(names: Iterable[str]) -> str:
    """Return names as a sentence lists them: "sklearn, torch or keras"."""
    *first, last = [*names] or [""]
    return f"{', '.join(first)} or {last}" if first else last
