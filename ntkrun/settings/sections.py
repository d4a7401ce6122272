"""The smaller sections of settings: what is recorded, how theory is computed, how far networks descend."""

from typing import Annotated

from pydantic import Field

from ntkrun.settings.choices import AnalyticKernel, Follow
from ntkrun.settings.fields import Before, Count, Index, Meanings, NonNegative, Positive, Section, Share


class RecordSettings(Section):
    """When and what is written down: at t = first_time * 2^(j / per_octave), at step 0 and at the last step."""

    first_time: Annotated[float, Field(ge=1e-30, allow_inf_nan=False)] = Field(
        description="t of the first record point after 0"
    )
    per_octave: Annotated[int, Field(ge=1, le=1000)] = Field(description="record points per doubling of t")
    outputs: Count = Field(description="single outputs that are followed per split")
    follow: Annotated[
        Follow,
        Meanings(
            {
                "examples": "the first output of the first images",
                "logits": "the outputs of the first image",
                "auto": "examples if k = 1, else logits",
            }
        ),
    ] = Field(description="which outputs those are")
    weights: Index = Field(description="single weights that are followed")
    train_examples: Count | None = Field(description="training images that are evaluated, from the first on; null: all")
    chunk: Count = Field(
        description="images per forward pass in evaluation; batch normalisation takes its statistics from each chunk"
    )


class FlowSettings(Section):
    """The adaptive solver of gradient flow (`theory.gradient_flow`), for what has no closed form."""

    by_solver: bool = Field(
        description="gradient flow by the ODE solver where it has no closed form (cross-entropy, momentum): more time, "
        "two more curves"
    )
    rtol: Positive = Field(description="relative local error of N k c, with theta_t - theta_0 = J^T c")
    atol: Positive = Field(description="absolute local error of N k c")
    max_steps: Count = Field(description="steps of the solver that are tried, accepted or not")


class TheorySettings(Section):
    """How analytic kernels are built and gradient flow is solved."""

    tile_mb: Positive = Field(
        description="MB of a CPU: working memory of the recursion of analytic kernels beside inputs and result; an "
        "accelerator takes as many times more as it has"
    )
    diag_reg: NonNegative = Field(
        description="output distributions (13)-(16), (S22), (S23): this multiple of the mean of its diagonal is added to "
        "the diagonal of the kernel of the training inputs, Theta or K, that is inverted; kernels to other inputs stay"
    )
    analytic_kernel: Annotated[
        AnalyticKernel,
        Before("auto"),
        Meanings(
            {
                "auto": "in training runs, where it costs little: always for fc",
                "always": "wherever the network has one, and a line that says why where not",
                "never": "left out",
            }
        ),
    ] = Field(description="whether f_lin with Theta of the infinitely wide network is drawn beside the network")
    flow: FlowSettings

    @property
    def tile_bytes(self) -> int:
        return int(self.tile_mb * 2**20)


class DescentSettings(Section):
    """Gradient descent until f_lin has fitted the training set."""

    share_of_critical: Share = Field(description="eta / eta_critical(Theta_hat_0), of Theorem 2.1")
    max_steps: Count = Field(description="steps after which a network is given up")


class EndSettings(DescentSettings):
    """Gradient descent until f_lin has a given train loss."""

    end_loss: Positive = Field(
        description="1/2 mean (f_lin - y)^2 at the end; the mean of targets +1, -1 in equal numbers has 1/2"
    )


class FractionSettings(DescentSettings):
    """Gradient descent until f_lin has a given fraction of its first train loss."""

    loss_fraction: Share = Field(
        description="train loss of f_lin at the end over 1/2 mean y^2, with which f_lin from f_0 = 0 starts"
    )
