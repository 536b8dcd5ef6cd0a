"""Softmax, its logarithm and Jacobian, log-sum-exp and sigmoid, as functions of logits."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating[Any]]


def float_dtype(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Return the floating-point type in which to compute with an argument of this dtype.

    It is float32 for float16, the dtype itself for wider floating-point types, and float64 for
    integers and booleans. Raises TypeError, which names the argument, for other dtypes.
    """
    if dtype.kind == "f":
        return np.promote_types(dtype, np.float32)
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    raise TypeError(f"{name} must hold real numbers, found dtype {dtype}")


def as_float(values: ArrayLike, name: str) -> FloatArray:
    """Return an argument as a floating-point array, copied only if its type must change.

    Raises TypeError, which contains `name`, if the argument does not hold real numbers.
    """
    array = np.asarray(values)
    return array.astype(float_dtype(array.dtype, name), copy=False)


def classes_last(logits: ArrayLike, axis: int) -> FloatArray:
    """Return the logits as a floating-point array with the class axis `axis` moved to the end.

    Raises ValueError for a scalar, and AxisError if the axis does not exist.
    """
    z = as_float(logits, "logits")
    if z.ndim == 0:
        raise ValueError("logits must have at least one dimension, found a scalar")
    axis = operator.index(axis)
    if not -z.ndim <= axis < z.ndim:
        raise np.exceptions.AxisError(axis, z.ndim, "logits")
    return np.moveaxis(z, axis, -1)


def shifted_exponentials(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return max(z), s = z - max(z), exp(s), and sum(exp(s)) - 1, along the last axis.

    The arrays s and exp(s) have the shape of z; max(z) and sum(exp(s)) - 1 have a last axis
    of length 1.
    sum(exp(s)) - 1 is NaN where several entries share an infinite maximum, because softmax has no
    limit there.
    """
    peak = z.max(axis=-1, keepdims=True, initial=-np.inf)
    at_peak = z == peak
    ties = at_peak.sum(axis=-1, keepdims=True, dtype=z.dtype)
    shifted = z - peak
    shifted[at_peak] = 0  # inf - inf would be NaN
    exponentials = np.exp(shifted)
    # Each entry at the maximum contributes exactly one. The first of them is left out of the sum:
    # adding one to a small sum would lose its digits.
    rest = np.where(at_peak, 0, exponentials).sum(axis=-1, keepdims=True) + (ties - 1)
    rest[np.isinf(peak) & (ties > 1)] = np.nan
    return peak, shifted, exponentials, rest


def softmax(logits: ArrayLike, axis: int = -1) -> FloatArray:
    """Map logits to probabilities that sum to one along an axis.

    Parameters
    ----------
    logits : array_like of real numbers, at least one-dimensional
        One score per class along ``axis``.
    axis : int, default=-1
        The class axis.

    Returns
    -------
    ndarray of the shape of ``logits``
        The probabilities. Empty if the class axis is empty.

    Raises
    ------
    TypeError
        If ``logits`` does not hold real numbers.
    ValueError
        If ``logits`` is a scalar.
    numpy.exceptions.AxisError
        If ``axis`` is out of range.

    Notes
    -----
    With m the maximum of z along the axis [1]_, the softmax [2]_ is computed as ::

        p_i = exp(z_i - m) / sum_j exp(z_j - m)

    A logit of ``-inf`` has probability 0 and a single ``+inf`` probability 1. Several ``+inf``,
    or several classes all at ``-inf``, give NaN, and so does any NaN. A single class has
    probability 1 whatever its logit, unless that is NaN.

    References
    ----------
    .. [1] P. Blanchard, D. J. Higham and N. J. Higham, "Accurately computing the log-sum-exp and
       softmax functions", IMA Journal of Numerical Analysis, 41(4), 2311-2330, 2021.
    .. [2] J. S. Bridle, "Probabilistic interpretation of feedforward classification network
       outputs, with relationships to statistical pattern recognition", in Neurocomputing:
       Algorithms, Architectures and Applications, Springer, 227-236, 1990.

    Examples
    --------
    >>> from skmaxent import softmax
    >>> softmax([[0, 1], [-10000, -9999]])
    array([[0.26894142, 0.73105858],
           [0.26894142, 0.73105858]])
    """
    z = classes_last(logits, axis)
    with np.errstate(all="ignore"):
        _, _, exponentials, rest = shifted_exponentials(z)
        return np.moveaxis(exponentials / (1 + rest), -1, axis)


def log_softmax(logits: ArrayLike, axis: int = -1) -> FloatArray:
    """Compute the logarithm of the softmax along an axis.

    Parameters
    ----------
    logits : array_like of real numbers, at least one-dimensional
        One score per class along ``axis``.
    axis : int, default=-1
        The class axis.

    Returns
    -------
    ndarray of the shape of ``logits``
        The log-probabilities, ``-inf`` where the probability is zero.

    Raises
    ------
    TypeError
        If ``logits`` does not hold real numbers.
    ValueError
        If ``logits`` is a scalar.
    numpy.exceptions.AxisError
        If ``axis`` is out of range.

    Notes
    -----
    With m the maximum of z along the axis, attained at index k [1]_::

        log p_i = (z_i - m) - log1p(sum_{j != k} exp(z_j - m))

    Both terms have the same sign, so no digits cancel, and the logarithm of a probability that
    rounds to one is still accurate. A difference z_i - m beyond the floating-point range gives
    ``-inf``.

    References
    ----------
    .. [1] P. Blanchard, D. J. Higham and N. J. Higham, "Accurately computing the log-sum-exp and
       softmax functions", IMA Journal of Numerical Analysis, 41(4), 2311-2330, 2021.

    Examples
    --------
    >>> from skmaxent import log_softmax
    >>> log_softmax([0.0, 1000.0])
    array([-1000.,     0.])
    """
    z = classes_last(logits, axis)
    with np.errstate(all="ignore"):
        _, shifted, _, rest = shifted_exponentials(z)
        return np.moveaxis(shifted - np.log1p(rest), -1, axis)


def logsumexp(logits: ArrayLike, axis: int = -1) -> FloatArray:
    """Compute the logarithm of the sum of exponentials along an axis.

    Parameters
    ----------
    logits : array_like of real numbers, at least one-dimensional
        One score per class along ``axis``.
    axis : int, default=-1
        The class axis.

    Returns
    -------
    ndarray of the shape of ``logits`` without ``axis``
        The log-sum-exp; ``-inf`` if the class axis is empty.

    Raises
    ------
    TypeError
        If ``logits`` does not hold real numbers.
    ValueError
        If ``logits`` is a scalar.
    numpy.exceptions.AxisError
        If ``axis`` is out of range.

    Notes
    -----
    With m the maximum of z along the axis, attained at index k [1]_::

        logsumexp(z) = m + log1p(sum_{j != k} exp(z_j - m))

    Unlike the softmax, the log-sum-exp has a limit for all infinite logits: ``+inf`` if any logit
    is ``+inf``, and ``-inf`` if all are ``-inf``.

    References
    ----------
    .. [1] P. Blanchard, D. J. Higham and N. J. Higham, "Accurately computing the log-sum-exp and
       softmax functions", IMA Journal of Numerical Analysis, 41(4), 2311-2330, 2021.

    Examples
    --------
    >>> from skmaxent import logsumexp
    >>> logsumexp([[0.0, 0.0], [1000.0, 1000.0]])
    array([6.93147181e-01, 1.00069315e+03])
    """
    z = classes_last(logits, axis)
    with np.errstate(all="ignore"):
        peak, _, _, rest = shifted_exponentials(z)
        result: FloatArray = np.where(np.isinf(peak), peak, peak + np.log1p(rest))[..., 0]
    return result[()]


def sigmoid(logits: ArrayLike) -> FloatArray:
    """Compute the logistic sigmoid of each element, the softmax of two classes.

    Parameters
    ----------
    logits : array_like of real numbers
        The log-odds of the second class against the first.

    Returns
    -------
    ndarray of the shape of ``logits``
        The probability of the second class, ``softmax([0, z])[1]``.

    Raises
    ------
    TypeError
        If ``logits`` does not hold real numbers.

    Notes
    -----
    The sigmoid is computed as ``1 / (1 + exp(-z))`` where z >= 0 and as
    ``exp(z) / (1 + exp(z))`` elsewhere. Hence no exponential overflows, and small probabilities
    keep their relative accuracy down to the subnormal numbers.

    Examples
    --------
    >>> from skmaxent import sigmoid
    >>> sigmoid([-1e308, -1.0, 0.0, 1.0, 1e308])
    array([0.        , 0.26894142, 0.5       , 0.73105858, 1.        ])
    """
    z = as_float(logits, "logits")
    one = z.dtype.type(1)  # a plain 1 would widen a float32 scalar under NumPy 1
    with np.errstate(all="ignore"):
        decay = np.exp(-np.abs(z))
        result: FloatArray = np.where(z >= 0, one, decay) / (one + decay)
    return result


def softmax_jacobian(logits: ArrayLike, axis: int = -1) -> FloatArray:
    """Compute the matrix of derivatives of the softmax with respect to the logits.

    Parameters
    ----------
    logits : array_like of real numbers, at least one-dimensional
        One score per class along ``axis``.
    axis : int, default=-1
        The class axis, of length K.

    Returns
    -------
    ndarray of shape (..., K, K)
        The symmetric Jacobian of each vector of logits. The remaining axes of ``logits`` come
        first, in their order.

    Raises
    ------
    TypeError
        If ``logits`` does not hold real numbers.
    ValueError
        If ``logits`` is a scalar.
    numpy.exceptions.AxisError
        If ``axis`` is out of range.

    Notes
    -----
    The Jacobian is ``diag(p) - p p^T`` [1]_. Its diagonal is computed without subtraction, as ::

        p_i (1 - p_i) = sum_{j != i} p_i p_j

    which keeps its relative accuracy when p_i is close to one and makes each row sum to zero.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006, equation 4.106.

    Examples
    --------
    >>> from skmaxent import softmax_jacobian
    >>> softmax_jacobian([0.0, 0.0])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    p = np.moveaxis(softmax(logits, axis), axis, -1)
    eye = np.eye(p.shape[-1], dtype=p.dtype)
    with np.errstate(all="ignore"):
        products = p[..., :, np.newaxis] * p[..., np.newaxis, :] * (1 - eye)
        result: FloatArray = eye * products.sum(axis=-1, keepdims=True) - products
    return result
