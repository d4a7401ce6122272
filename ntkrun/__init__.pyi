# The names for notebooks; the package imports them from here when they are first used.
from .cli.console import Console as Console
from .data.dataset import Dataset as Dataset
from .data.dataset import load_dataset as load_dataset
from .dynamics.linear_function_space import LinearFunctionSpace as LinearFunctionSpace
from .dynamics.linear_parameter_space import LinearParameterSpace as LinearParameterSpace
from .dynamics.metrics import accuracy as accuracy
from .dynamics.metrics import cross_entropy as cross_entropy
from .dynamics.metrics import mse as mse
from .dynamics.metrics import rmse as rmse
from .dynamics.network import Network as Network
from .dynamics.network import predict as predict
from .dynamics.sharpness import sharpness as sharpness
from .experiments.analysis.power_law import power_law as power_law
from .experiments.runs.linearity import LinearityRecorder as LinearityRecorder
from .kernels.analytic import Kernels as Kernels
from .kernels.analytic import analytic_kernels as analytic_kernels
from .kernels.empirical import empirical_nngp as empirical_nngp
from .kernels.empirical import empirical_ntk as empirical_ntk
from .kernels.empirical import ntk_scale as ntk_scale
from .kernels.largest_eigenvalue import largest_eigenvalue as largest_eigenvalue
from .kernels.monte_carlo import sampled_kernels as sampled_kernels
from .kernels.weight_jacobian import weight_jacobian as weight_jacobian
from .lockstep.loop import FullBatch as FullBatch
from .lockstep.loop import MiniBatches as MiniBatches
from .lockstep.loop import run_lockstep as run_lockstep
from .lockstep.progress import Silent as Silent
from .models import build_model as build_model
from .models.functions import as_function as as_function
from .models.parameters import count_parameters as count_parameters
from .models.parameters import ntk_to_standard as ntk_to_standard
from .models.parameters import standard_rates as standard_rates
from .models.taylor import linearize as linearize
from .models.taylor import taylor_expand as taylor_expand
from .networks.infinite_width import infinite_width_kernels as infinite_width_kernels
from .nonlinearities import Activation as Activation
from .reference import paper_panel as paper_panel
from .theory.closed_form import gradient_descent as gradient_descent
from .theory.closed_form import gradient_flow as gradient_flow
from .theory.gradient_flow import linear_flow as linear_flow
from .theory.learning_rate import eta_critical as eta_critical
from .theory.output_distribution import nngp_gp as nngp_gp
from .theory.output_distribution import ntk_gp as ntk_gp

__version__: str
NUMERICS_VERSION: int
