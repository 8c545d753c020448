"""The schema of an experiment. Only `backend` and `backends` name a framework.

Optimizer settings are textbook quantities (Goodfellow, Bengio and Courville, "Deep Learning", 2016, chapter 8;
Kingma and Ba, arXiv:1412.6980, algorithm 1; Loshchilov and Hutter, arXiv:1711.05101) and mean the same in every
engine. Weight decay acts on weight matrices and kernels, never on biases: as the gradient of
`weight_decay / 2 * ||W||^2` in every optimizer except adamw, where it is decoupled.

Types are strict: a number in quotes is text, true is not a number, and null is allowed only where the description
mentions it. An integer is accepted where a float is expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from mlcli.config.dataset import DatasetConfig
from mlcli.config.values import (
    MOST_EPOCHS,
    MOST_THREADS,
    Device,
    Fraction,
    FrozenDict,
    Identifier,
    Parameters,
    PositiveInt,
    RunName,
    RunReference,
    Section,
    Seed,
    Sha256,
    frozen,
)
from mlcli.registry import (
    BACKENDS,
    DEFAULT_BACKEND,
    DEFAULT_SCHEDULE,
    LARGE_BATCH,
    LARGE_DATA,
    LOGISTIC_LR,
    LOGISTIC_SCHEDULE,
    LR,
    MIN_EPOCHS,
    MIN_STEPS,
    MONITORS,
    SMALL_BATCH,
    alternatives,
)

if TYPE_CHECKING:
    BackendName = str
    MonitorName = str
else:
    BackendName = Literal[tuple(BACKENDS)]
    MonitorName = Literal[tuple(MONITORS)]

PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Sizes = Annotated[tuple[PositiveInt, ...], Field(strict=False, min_length=1)]
ThreadCount = Annotated[int, Field(ge=1, le=MOST_THREADS)]


class LogisticModel(Section):
    """Softmax regression: one linear layer."""

    name: Literal["logistic"] = Field("logistic", description="softmax regression, one linear layer")


class MlpModel(Section):
    """A multilayer perceptron."""

    name: Literal["mlp"] = Field("mlp", description="multilayer perceptron")
    hidden: Sizes = Field((256,), description="units per hidden layer")
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = Field(
        "relu", description="after each hidden layer; gelu is the exact form, with the error function"
    )
    dropout: Rate = Field(0.0, description="fraction of hidden units dropped during training")
    output: Literal["logits", "softmax"] = Field(
        "logits",
        description="softmax: the model ends in a softmax and learns, as in Keras, from probabilities, which torch and "
        "keras clip at 1e-7; losses are reported unclipped",
    )


class CnnModel(Section):
    """Convolution, ReLU and 2x2 max pooling per entry of `channels`, then one hidden layer."""

    name: Literal["cnn"] = Field("cnn", description="convolutional network, for images")
    channels: Sizes = Field((32, 64), description="output channels of each convolution")
    kernel_size: PositiveInt = Field(3, description="side of the square kernels; odd, so that padding keeps the size")
    hidden: PositiveInt = Field(128, description="units of the hidden layer after the convolutions")
    dropout: Rate = Field(0.0, description="fraction of hidden units dropped before the output layer")

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, kernel_size: int) -> int:
        if kernel_size % 2 == 0:
            raise ValueError("must be odd")
        return kernel_size


class EstimatorModel(Section):
    """Any scikit-learn classifier, by class name; its parameters may hold other estimators."""

    name: Literal["estimator"] = Field("estimator", description="any scikit-learn classifier")
    estimator: Identifier = Field(description="class name, e.g. RandomForestClassifier")
    parameters: Parameters = Field(
        default_factory=FrozenDict,
        description="arguments of its constructor; a nested estimator is {estimator: NAME, parameters: {...}}",
    )


ModelConfig = LogisticModel | MlpModel | CnnModel | EstimatorModel


class InitFrom(Section):
    """The finished run whose weights training starts from. The optimizer starts without state."""

    run: RunReference = Field(description="a directory, a run id, a unique prefix of one, or last")
    weights: Sha256 | None = Field(
        None, description="digest of those weights; null: not checked; a finished run records it, later runs verify it"
    )


class Optimizer(Section):
    """Settings of every iterative optimizer."""

    lr: PositiveFloat | None = Field(
        None, description=f"learning rate; null: {LOGISTIC_LR:g} for logistic regression, else {LR:g}"
    )
    weight_decay: NonNegativeFloat | None = Field(
        None, description="L2 strength on weights, not on biases; null: 1 / n for logistic regression, else 0"
    )


class Sgd(Optimizer):
    """v = momentum * v + g; w -= lr * v, or with nesterov w -= lr * (g + momentum * v)."""

    name: Literal["sgd"] = Field("sgd", description="stochastic gradient descent")
    lr: PositiveFloat = Field(0.1, description="learning rate")
    momentum: Rate = Field(0.0, description="fraction of the previous step that is added to the next")
    nesterov: bool = Field(False, description="Nesterov momentum; needs momentum above 0")

    @field_validator("nesterov")
    @classmethod
    def _nesterov_needs_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("needs momentum above 0")
        return nesterov


class _AdamSettings(Optimizer):
    beta1: Rate = Field(0.9, description="decay rate of the mean of the gradients")
    beta2: Rate = Field(0.999, description="decay rate of the mean of the squared gradients")
    epsilon: PositiveFloat = Field(1e-8, description="added to the root of the mean square")


class Adam(_AdamSettings):
    """w -= lr * m_hat / (sqrt(v_hat) + epsilon), with bias-corrected m_hat and v_hat."""

    name: Literal["adam"] = Field("adam", description="Adam")


class AdamW(_AdamSettings):
    """Adam with decoupled weight decay: w -= lr * weight_decay * w in addition to Adam's step."""

    name: Literal["adamw"] = Field("adamw", description="Adam with decoupled weight decay")
    weight_decay: NonNegativeFloat = Field(0.01, description="each step shrinks weights by this fraction of lr")


class RmsProp(Optimizer):
    """v = decay * v + (1 - decay) * g^2; w -= lr * g / (sqrt(v) + epsilon)."""

    name: Literal["rmsprop"] = Field("rmsprop", description="RMSprop")
    decay: Rate = Field(0.9, description="decay rate of the mean of the squared gradients")
    epsilon: PositiveFloat = Field(1e-8, description="added to the root of the mean square")


class Lbfgs(Section):
    """Limited-memory BFGS on the whole training split, a single fit without epochs."""

    name: Literal["lbfgs"] = Field("lbfgs", description="limited-memory BFGS, a single fit without epochs")
    max_iter: PositiveInt = Field(100, description="maximum number of iterations")
    tolerance: PositiveFloat = Field(1e-4, description="stop when the largest gradient component is below this")
    weight_decay: NonNegativeFloat | None = Field(
        None, description="L2 strength; null: 1 / n; scikit-learn's C is 1 / (n * weight_decay)"
    )


OptimizerConfig = Sgd | Adam | AdamW | RmsProp | Lbfgs


class ConstantSchedule(Section):
    """A constant learning rate."""

    name: Literal["constant"] = Field("constant", description="constant learning rate")


class StepSchedule(Section):
    """The learning rate is multiplied by `factor` every `every_epochs` epochs."""

    name: Literal["step"] = Field("step", description="the learning rate drops at regular intervals")
    every_epochs: PositiveInt = Field(10, description="epochs between two drops")
    factor: Fraction = Field(0.1, description="each drop multiplies the learning rate by this")


class CosineSchedule(Section):
    """Half a cosine from lr to `final_fraction * lr` over all steps, after a linear warm-up."""

    name: Literal["cosine"] = Field("cosine", description="half a cosine over all steps, after a linear warm-up")
    final_fraction: Rate = Field(0.0, description="final learning rate as a fraction of lr")
    warmup_epochs: NonNegativeFloat = Field(0.0, description="epochs of linear warm-up to lr; fractions too")


class OneCycleSchedule(Section):
    """From lr / start_divisor up to lr and down to lr / end_divisor, by cosine (Smith and Topin, arXiv:1708.07120)."""

    name: Literal["one_cycle"] = Field("one_cycle", description="up to lr and down again, by cosine")
    warmup_fraction: Fraction = Field(0.3, description="fraction of all steps in which the learning rate rises")
    start_divisor: Annotated[float, Field(ge=1)] = Field(25.0, description="the first learning rate is lr over this")
    end_divisor: Annotated[float, Field(ge=1)] = Field(1e4, description="the last learning rate is lr over this")


ScheduleConfig = ConstantSchedule | StepSchedule | CosineSchedule | OneCycleSchedule


class EarlyStopping(Section):
    """Stop when the monitored metric has not improved for `patience` epochs. Needs validation data."""

    monitor: MonitorName = Field("validation_loss", description=f"metric that must improve: {alternatives(MONITORS)}")
    patience: PositiveInt = Field(5, description="epochs without improvement after which training stops")
    min_delta: NonNegativeFloat = Field(0.0, description="only a larger change counts as an improvement")
    restore_best: bool = Field(True, description="keep the weights of the best epoch")


class TrainingConfig(Section):
    """How a model is trained. Single fits (L-BFGS, forests) have neither epochs nor batches."""

    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | None = Field(
        None,
        description=f"epochs of training; null: at least {MIN_EPOCHS}, and at least {MIN_STEPS:,} steps of the default "
        "batch size; none for a single fit",
    )
    batch_size: PositiveInt | None = Field(
        None,
        description=f"samples per step; null: {SMALL_BATCH} for fewer than {LARGE_DATA:,} training samples, else "
        f"{LARGE_BATCH}; none for a single fit",
    )
    early_stopping: EarlyStopping | None = Field(
        None, description="stop when validation no longer improves; null: never"
    )
    class_weight: Literal["balanced"] | None = Field(
        None, description="balanced: rare classes weigh more in what training minimises; null: all samples weigh 1"
    )


class RuntimeConfig(Section):
    """Device, threads and precision."""

    device: Device = Field("auto", description="auto (a GPU if available), cpu, cuda, cuda:N or mps")
    threads: ThreadCount | None = Field(None, description="CPU threads of every library; null: all available cores")
    precision: Literal["float32", "float64"] = Field("float32", description="of weights, data and gradients")
    deterministic: bool = Field(False, description="use deterministic algorithms on GPUs; slower")
    samples: Literal["auto", "memory", "mapped"] = Field(
        "auto",
        description="mapped: read batches from the file of prepared data; memory: keep all samples; auto: mapped if "
        "they would take more than half of the free memory",
    )


class ExperimentConfig(Section):
    """One experiment."""

    name: RunName | None = Field(None, description="short name, used in run directories; null: DATASET_MODEL")
    backend: BackendName | None = Field(
        None, description=f"{alternatives(BACKENDS)}; null: the first of `backends`, else {DEFAULT_BACKEND}"
    )
    seed: Seed = Field(0, description="seed of initial weights, batch order and dropout")
    dataset: DatasetConfig = Field(DatasetConfig(), description="the data, and how it is split and scaled")
    model: Annotated[ModelConfig, Field(discriminator="name")] = Field(MlpModel(), description="the model to train")
    init_from: InitFrom | None = Field(
        None, description="start from the weights of a finished run; null: from random weights, drawn by the seed"
    )
    optimizer: Annotated[OptimizerConfig, Field(discriminator="name")] | None = Field(
        None, description="null: lbfgs for scikit-learn's logistic regression, else adam"
    )
    schedule: Annotated[ScheduleConfig, Field(discriminator="name")] | None = Field(
        None,
        description="how the learning rate changes during training; null: "
        f"{LOGISTIC_SCHEDULE} for logistic regression, else {DEFAULT_SCHEDULE}",
    )
    training: TrainingConfig = Field(TrainingConfig(), description="epochs, batches, early stopping and class weights")
    runtime: RuntimeConfig = Field(RuntimeConfig(), description="device, threads and precision")
    backends: Annotated[dict[BackendName, dict[str, Any]], AfterValidator(frozen)] = Field(
        default_factory=FrozenDict, description="engines of this experiment, each with the settings that differ there"
    )
