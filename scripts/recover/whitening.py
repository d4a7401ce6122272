"""Whitened images, the rule "zca" among the hypotheses.

Kernel regression with the analytic NTK (ReLU, L = 5, sigma_w^2 = 2, sigma_b^2 = .1; 256 training and 512 test images of
CIFAR-10 airplane/horse; 6 draws of the images, 8 of the initial function f_0 each, an NNGP sample of which a trained network
keeps a part: f = mu + f_0(x) - Theta(x,X) Theta^-1 f_0(X)); mean [smallest, largest] over the draws:

    rule                         lambda_max/N  lambda_2/N   test loss            accuracy            mu: loss, acc.
    sphere                       5.14          .59          .427 [.383, .507]    .728 [.680, .762]   .258  .838
    C mean, eps = 1              5.00          .09          .557 [.504, .646]    .640 [.590, .699]   .315  .818
    C mean, eps = .1             5.00          .05          .657 [.580, .757]    .569 [.521, .641]   .391  .783
    C sum, eps = 1               4.99          .04          .755 [.671, .846]    .515 [.459, .574]   .472  .645
    eps = mean eigenvalue        5.00          .05          .677 [.597, .776]    .557 [.506, .627]   .407  .769
    eps = .1 lambda_max(C)       5.02          .17          .496 [.451, .574]    .684 [.637, .727]   .278  .834

Figures 3 and S8 show .52 to .56 and .62 to .65, which airplane and horse reach under the second of these alone, and frog and
horse without whitening (docs/recovered_settings.md).
"""

import numpy as np

from ntkrun.data.preprocess import rescale_to_sphere
from ntkrun.types import Float, NumpyArray

# In units of the variance of a pixel in [0, 1], which is about .06 for CIFAR-10: only the 20 or so directions whose
# variance exceeds 1 (the largest is about 57) are shrunk; the many below it keep their relative size.
EPS = 1.0


def whitened(pixels: Float[NumpyArray, "n ..."], eps: float = EPS) -> Float[NumpyArray, "n ..."]:
    """Images centred by their mean image m, whitened by (C + eps I)^(-1/2), then scaled to ||x||^2 = n_0.

    With A = x - m, (n, n_0), and C = A^T A / n, functions of C act from the right as those of the Gram matrix act from the
    left: A g(A^T A / n) = g(A A^T / n) A.  The sphere undoes any factor, so that g(c) = (c + eps)^(-1/2) sqrt(eps).
    """
    centred = pixels - pixels.mean(axis=0)
    flat = centred.reshape(len(pixels), -1)
    values, vectors = np.linalg.eigh(flat @ flat.T / len(flat))
    # rounding leaves eigenvalues of 0 at -1e-15
    shrinkage = np.sqrt(eps / (np.maximum(values, 0.0) + eps))
    return rescale_to_sphere((vectors * shrinkage @ (vectors.T @ flat)).reshape(pixels.shape))
