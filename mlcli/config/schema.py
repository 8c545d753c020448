"""The schema of an experiment. It names no framework except in `backend` and `backends`.

Optimizer settings are textbook quantities (Goodfellow, Bengio and Courville, "Deep Learning", 2016, chapter 8;
Kingma and Ba, arXiv:1412.6980, algorithm 1; Loshchilov and Hutter, arXiv:1711.05101) and mean the same in every
engine. Weight decay acts on weight matrices and kernels, never on biases: as a gradient of
`weight_decay / 2 * ||W||^2` for every optimizer but adamw, where it is decoupled.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

BackendName = Literal["sklearn", "torch", "keras"]
BACKEND_NAMES: tuple[BackendName, ...] = ("sklearn", "torch", "keras")

Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Base of every part of the schema: immutable, and no key that the schema does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class DatasetConfig(Section):
    """Which data, and how it is split and scaled. A plain name stands for `{name: NAME}`."""

    name: str = Field("digits", description="iris, digits, mnist or fashion")
    test: Literal["auto", "train"] | Fraction = Field(
        "auto",
        description="auto: the dataset's own test set, or a stratified fifth; a fraction; train: the training data",
    )
    validation: Literal["test"] | Fraction | None = Field(
        None, description="a stratified fraction of the training data; test: watch the test set; null: none"
    )
    scaling: Literal["auto", "none", "unit", "standard"] = Field(
        "auto",
        description="unit: to [0, 1]; standard: mean 0, deviation 1; auto: unit for images, standard for tables",
    )
    limit: PositiveInt | None = Field(None, description="use the first N training samples only")
    split_seed: Annotated[int, Field(ge=0)] = Field(
        0, description="seed of the splits; runs with other seeds keep the same samples"
    )


class LogisticModel(Section):
    """Softmax regression: one linear layer."""

    name: Literal["logistic"] = "logistic"


class MlpModel(Section):
    """A multilayer perceptron."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = Field((256,), min_length=1, description="units of each hidden layer")
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = "relu"
    dropout: Rate = Field(0.0, description="share of hidden units dropped while training")
    output: Literal["logits", "softmax"] = Field(
        "logits", description="softmax: the model ends in a softmax and the loss is taken on probabilities"
    )


class CnnModel(Section):
    """Convolution, ReLU and 2x2 max pooling per entry of `channels`, then one hidden layer."""

    name: Literal["cnn"] = "cnn"
    channels: tuple[PositiveInt, ...] = Field((32, 64), min_length=1, description="output channels of each convolution")
    kernel_size: PositiveInt = Field(3, description="side of the square kernels; odd, so that padding keeps the size")
    hidden: PositiveInt = Field(128, description="units of the hidden layer after the convolutions")
    dropout: Rate = Field(0.0, description="share of hidden units dropped before the output layer")

    @model_validator(mode="after")
    def _odd_kernel(self) -> CnnModel:
        if self.kernel_size % 2 == 0:
            raise ValueError("kernel_size must be odd")
        return self


class EstimatorModel(Section):
    """Any scikit-learn classifier, by class name."""

    name: Literal["estimator"] = "estimator"
    estimator: str = Field(description="the class name, e.g. RandomForestClassifier")
    parameters: dict[str, Any] = Field(default_factory=dict, description="arguments of its constructor")


ModelConfig = LogisticModel | MlpModel | CnnModel | EstimatorModel


class Optimizer(Section):
    """What every optimizer by passes has."""

    lr: PositiveFloat = Field(1e-3, description="learning rate")
    weight_decay: NonNegativeFloat = 0.0


class Sgd(Optimizer):
    """v = momentum * v + g; w -= lr * v, or with nesterov w -= lr * (g + momentum * v)."""

    name: Literal["sgd"] = "sgd"
    lr: PositiveFloat = Field(0.1, description="learning rate")
    momentum: Rate = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Sgd:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")
        return self


class Adam(Optimizer):
    """w -= lr * m_hat / (sqrt(v_hat) + epsilon), with bias-corrected m_hat and v_hat."""

    name: Literal["adam"] = "adam"
    beta1: Rate = 0.9
    beta2: Rate = 0.999
    epsilon: PositiveFloat = 1e-8


class AdamW(Optimizer):
    """Adam with decoupled weight decay: w -= lr * weight_decay * w besides Adam's step."""

    name: Literal["adamw"] = "adamw"
    beta1: Rate = 0.9
    beta2: Rate = 0.999
    epsilon: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.01


class RmsProp(Optimizer):
    """v = decay * v + (1 - decay) * g^2; w -= lr * g / (sqrt(v) + epsilon)."""

    name: Literal["rmsprop"] = "rmsprop"
    decay: Rate = 0.9
    epsilon: PositiveFloat = 1e-8


class Lbfgs(Section):
    """Limited-memory BFGS over the whole training split, in one call."""

    name: Literal["lbfgs"] = "lbfgs"
    max_iter: PositiveInt = Field(100, description="iterations at the most")
    tolerance: PositiveFloat = Field(1e-4, description="stops when the largest gradient component is below this")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 strength; scikit-learn's C is 1 / (n * weight_decay)")


OptimizerConfig = Sgd | Adam | AdamW | RmsProp | Lbfgs


class ConstantSchedule(Section):
    """The learning rate stays what the optimizer says."""

    name: Literal["constant"] = "constant"


class StepSchedule(Section):
    """The learning rate is multiplied by `factor` every `every_epochs` epochs."""

    name: Literal["step"] = "step"
    every_epochs: PositiveInt = 10
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1


class CosineSchedule(Section):
    """Half a cosine from lr to `final_fraction * lr` over all steps, after a linear warm-up."""

    name: Literal["cosine"] = "cosine"
    final_fraction: Rate = 0.0
    warmup_epochs: NonNegativeFloat = 0.0


class OneCycleSchedule(Section):
    """From lr / start_divisor up to lr and down to lr / end_divisor, by cosine (Smith and Topin, arXiv:1708.07120)."""

    name: Literal["one_cycle"] = "one_cycle"
    warmup_fraction: Fraction = Field(0.3, description="share of all steps spent rising")
    start_divisor: Annotated[float, Field(ge=1)] = 25.0
    end_divisor: Annotated[float, Field(ge=1)] = 1e4


ScheduleConfig = ConstantSchedule | StepSchedule | CosineSchedule | OneCycleSchedule


class EarlyStopping(Section):
    """Stop when the watched figure has not improved for `patience` epochs. Needs validation data."""

    monitor: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    patience: PositiveInt = 5
    min_delta: NonNegativeFloat = Field(0.0, description="an improvement is a change larger than this")
    restore_best: bool = Field(True, description="keep the weights of the best epoch")


class TrainingConfig(Section):
    """How often and in what portions the data is seen. One-call fits (L-BFGS, forests) take neither."""

    epochs: PositiveInt | None = Field(
        None, description="passes over the training data; 10 where it applies and nothing is said"
    )
    batch_size: PositiveInt | None = Field(
        None, description="samples per step; 128 where it applies and nothing is said"
    )
    early_stopping: EarlyStopping | None = None


def _lower_case(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class RuntimeConfig(Section):
    """Where and how it is computed."""

    device: Annotated[str, BeforeValidator(_lower_case), Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = Field(
        "auto", description="auto, cpu, cuda, cuda:N or mps; auto takes a GPU where there is one"
    )
    threads: PositiveInt | None = Field(None, description="CPU threads of every library; null: the cores available")
    precision: Literal["float32", "float64"] = "float32"
    deterministic: bool = Field(False, description="deterministic algorithms on GPUs too; slower")


class ExperimentConfig(Section):
    """One experiment."""

    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="short name, used in run directories"
    )
    backend: BackendName | None = Field(None, description="sklearn, torch or keras")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        0, description="governs initial weights, batch order and dropout"
    )
    dataset: DatasetConfig = DatasetConfig()
    model: Annotated[ModelConfig, Field(discriminator="name")] = MlpModel()
    optimizer: Annotated[OptimizerConfig, Field(discriminator="name")] | None = Field(
        None, description="null: lbfgs for scikit-learn's logistic regression, adam elsewhere"
    )
    schedule: Annotated[ScheduleConfig, Field(discriminator="name")] = ConstantSchedule()
    training: TrainingConfig = TrainingConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    backends: dict[BackendName, dict[str, Any]] = Field(
        default_factory=dict,
        description="the engines this experiment is for, each with the settings that differ there",
    )
