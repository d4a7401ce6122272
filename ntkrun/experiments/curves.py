"""The names of all curves, declared once: whoever looks for the origin of a number greps one of these words.

A curve is `<quantity>/<rival>`: what is measured, and on whom.  Runs write them, analyses and figures read them.
"""


class Quantity(str):
    """What is measured."""

    def of(self, rival: str) -> str:
        """The name of the curve of this quantity of a rival."""
        return f"{self}/{rival}"


# Rivals: the network, and what predicts it
NETWORK = "network"  # the Flax network, trained
LINEAR = "linear"  # f_lin, its linearization at theta_0, moved by the same steps
LINEAR_ANALYTIC = "linear_analytic"  # the same with the infinite-width Theta in place of Theta_hat_0
FLOW_EMPIRICAL = "flow_empirical"  # gradient flow of f_lin, with Theta_hat_0
FLOW_ANALYTIC = "flow_analytic"  # gradient flow with Theta
FLOW = "flow"  # Figure S4: gradient flow of f_lin by the ODE (S10)
ROUTES = "routes"  # Figure S4: f_lin by its own steps, held against FLOW
NTK = "ntk"  # infinite width with all layers trained, eqs (14), (15); of kernels: Theta
EXPANSION = "expansion"  # f_lin at the network's own theta_t: the first order of its Taylor expansion at theta_0
NNGP = "nngp"  # infinite width with the readout trained, (S22), (S23); of kernels: K

# Quantities of outputs
OUTPUT = Quantity("output")  # single outputs f(x); index: which
LOGIT = Quantity("logit")  # Figure S4: the first output of single images; index: which image
LOSS = Quantity("loss")  # averaged over examples and outputs
ACCURACY = Quantity("accuracy")  # share of right answers
FINITE = Quantity("finite")  # 1 where all outputs are finite, else 0
RMSE = Quantity("rmse")  # root mean square over examples and outputs of the distance between rival and network
RMS = Quantity("rms")  # Figure S4: the same for the first outputs, between the network or f_lin and the rival
MEAN = Quantity("mean")  # of an output; index: alpha
VARIANCE = Quantity("variance")  # of an output; index: alpha
COVARIANCE = Quantity("covariance")  # of outputs at two alphas; index: the pair

# Quantities of weights and kernels
# theta_t - theta_0 of single weights, or ||.||_F of a layer relative to that of theta_0; index: weight or layer
WEIGHT_CHANGE = Quantity("weight_change")
NTK_CHANGE = Quantity("ntk_change")  # ||Theta_hat_t - Theta_hat_0||_F / ||Theta_hat_0||_F
NNGP_CHANGE = Quantity("nngp_change")  # ||K_hat_t - K_hat_0||_F / ||K_hat_0||_F
OUTPUT_DISTANCE = Quantity("output_distance")  # Theorem 2.1: root mean over test inputs of (f_t - f_lin_t)^2
THETA_DISTANCE = Quantity("theta_distance")  # Theorem 2.1: ||theta_t - theta_0||_2, over sqrt n where omega is trained
NTK_DISTANCE = Quantity("ntk_distance")  # Theorem 2.1: ||Theta_hat_t - Theta_hat_0||_F
ERROR = Quantity("error")  # Figures S9, S10: ||<kernel>_M - kernel||_F / ||kernel||_F
ALIGNMENT = Quantity("alignment")  # y^T Theta_hat y / (|y|^2 ||Theta_hat||_F)
SHARPNESS = Quantity("sharpness")  # lambda_max of the Hessian of the training loss
STABLE_SHARPNESS = Quantity("stable_sharpness")  # above it the optimizer's steps are unstable on a quadratic
PREACTIVATION_CHANGE = Quantity("preactivation_change")  # rms over examples and units of h_t - h_0; index: layer
LAYER_CHANGE = Quantity("layer_change")  # ||theta_l - theta_l(0)|| / ||theta_l(0)||; index: layer

# Curves without a rival
ALPHA = "alpha"  # Figure 2: the grid of alpha
TARGET = "target"  # Figure 2: y at alpha = 1 and at alpha = 0

RIVALS = (NETWORK, LINEAR, LINEAR_ANALYTIC, FLOW_EMPIRICAL, FLOW_ANALYTIC, FLOW, ROUTES, EXPANSION, NTK, NNGP)
QUANTITIES = (
    OUTPUT, LOGIT, LOSS, ACCURACY, FINITE, RMSE, RMS, MEAN, VARIANCE, COVARIANCE,
    WEIGHT_CHANGE, NTK_CHANGE, NNGP_CHANGE, OUTPUT_DISTANCE, THETA_DISTANCE, NTK_DISTANCE, ERROR,
    ALIGNMENT, SHARPNESS, STABLE_SHARPNESS, LAYER_CHANGE, PREACTIVATION_CHANGE,
)  # fmt: skip
ALL = frozenset({ALPHA, TARGET, *(quantity.of(rival) for quantity in QUANTITIES for rival in RIVALS)})
