"""The matrices of Winograd's method, for convolutions of stride 1 with fewer multiplications.

S. Winograd, "Arithmetic complexity of computations" (1980); for convolutional nets: Lavin and
Gray, "Fast algorithms for convolutional neural networks" (2016). A tile of S x S source pixels
gives M x M target pixels, M = S + 1 - K:

    Y = A^T [(G g G^T) * (B^T d B)] A          * element by element, summed over channels

At each of the S * S points the sum over channels is a product of two matrices, and all of them
together need (K M / S)^2 times fewer multiplications than the plain formula: for K = 3 and S = 6
that is 4, for K = 5 it is 2.8 with S = 6 and 6.25 with S = 8. The image gradient is another such
convolution, with the filters turned round. The weight gradient is the adjoint of the above in g:

    dg = G^T [(A dY A^T) * (B^T d B)] G        summed over tiles and images

Rounding errors are some ten times those of plain sums: below 1e-4 of the largest result.
"""

from __future__ import annotations

import numpy as np

SIZES = (3, 5)  # of the filters that this is for
# Where the polynomials that stand for the pixels are multiplied; the last point is infinity.
_NODES = (0, 1, -1, 2, -2, 0.5, -0.5)


def matrices(size: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, G and B^T for filters of `size`, tiles of `side`: (S, M), (S, size), (S, S), float64.

    Rows of G are scaled so that float32 holds those of B^T exactly. `side` is at most 8.
    """
    nodes = _NODES[: side - 1]
    powers = np.vander(nodes, side, increasing=True).astype(float)
    powers = np.vstack([powers, np.eye(side)[-1]])
    outputs = side + 1 - size
    A, G = (np.vstack([powers[:-1, :n], np.eye(n)[-1]]) for n in (outputs, size))
    scale = [np.prod([a - b for b in nodes if a != b]) for a in nodes] + [1]
    B = np.linalg.inv(powers).T * np.c_[scale]
    return A, G / np.array(scale)[:, None], np.round(64 * B) / 64
