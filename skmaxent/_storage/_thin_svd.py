"""The singular value decomposition of a matrix, by another algorithm where the first one fails."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from skmaxent._typing import Array


def thin_svd(A: Array) -> tuple[Array, Array, Array]:
    """Return U, s and Vᵀ with A = U diag(s) Vᵀ, for k = min(m, n) singular values.

    LAPACK's divide and conquer is fast, and does not converge for a few matrices whose rows differ
    by many orders of magnitude. The QR algorithm does (Demmel & Kahan 1990, SIAM J. Sci. Stat.
    Comput. 11, 873-912).

    Parameters
    ----------
    A : ndarray of shape (m, n)

    Returns
    -------
    U : ndarray of shape (m, k)
    s : ndarray of shape (k,)
    Vt : ndarray of shape (k, n)
    """
    try:
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
    except np.linalg.LinAlgError:
        U, s, Vt = scipy.linalg.svd(A, full_matrices=False, lapack_driver="gesvd")
    return U, s, Vt
