"""The cross-entropy between targets and the softmax of logits, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from skmaxent._softmax._softmax import (
    FloatArray,
    as_float,
    classes_last,
    float_dtype,
    shifted_exponentials,
)


def _check_non_negative(values: FloatArray, name: str) -> None:
    """Raise ValueError if an argument holds negative, infinite or NaN values."""
    invalid = ~((values >= 0) & (values < np.inf))
    if invalid.any():
        raise ValueError(f"{name} must be non-negative and finite, found {values[invalid][0]}")


def _as_distribution(targets: ArrayLike, z: FloatArray, axis: int) -> FloatArray:
    """Return the targets as an array of the shape of `z`, the logits with the classes last.

    Class indices become one-hot vectors. A distribution, in which `axis` is the class axis, gets
    this axis at the end. Raises TypeError or ValueError as `cross_entropy` documents.
    """
    t = np.asarray(targets)
    dtype = float_dtype(t.dtype, "targets")
    n_classes = z.shape[-1]
    index_shape, logits_shape = z.shape[:-1], np.moveaxis(z, -1, axis).shape
    # An empty list is an array of floats, yet a valid array of no indices.
    if t.shape == index_shape and (t.dtype.kind in "iu" or t.size == 0):
        invalid = (t < 0) | (t >= n_classes)
        if invalid.any():
            raise ValueError(
                f"targets must hold class indices from 0 to {n_classes - 1} "
                f"(logits have {n_classes} classes), found {t[invalid][0]}"
            )
        one_hot: FloatArray = (t[..., np.newaxis] == np.arange(n_classes)).astype(z.dtype)
        return one_hot
    if t.shape == logits_shape:
        distribution = np.moveaxis(t.astype(dtype, copy=False), axis, -1)
        _check_non_negative(distribution, "targets")
        return distribution
    raise ValueError(
        f"targets must be integer class indices of shape {index_shape} or a distribution of shape "
        f"{logits_shape}, found dtype {t.dtype} and shape {t.shape}"
    )


def _optional_vector(
    values: ArrayLike | None, name: str, default: float, length: int, dtype: np.dtype[Any]
) -> FloatArray:
    """Return an argument as a vector of shape (length,), filled with `default` if it is None.

    Raises TypeError or ValueError, which names the argument, for another type or shape.
    """
    if values is None:
        return np.full(length, default, dtype=dtype)
    vector = as_float(values, name)
    if vector.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), found {vector.shape}")
    return vector


def cross_entropy(logits: ArrayLike, targets: ArrayLike, axis: int = -1) -> FloatArray:
    """Compute the cross-entropy between targets and the softmax of logits, for each sample.

    Parameters
    ----------
    logits : array_like of real numbers, at least one-dimensional
        One score per class along ``axis``.
    targets : array_like of numbers
        Either class indices: an integer array of the shape of ``logits`` without ``axis``. Or a
        distribution over the classes: an array of the shape of ``logits``, of any real type,
        non-negative; it need not sum to one, so counts are allowed.
    axis : int, default=-1
        The class axis.

    Returns
    -------
    ndarray of the shape of ``logits`` without ``axis``, of the type of the logits
        The loss of each sample, in nats; 0 if the class axis is empty.

    Raises
    ------
    TypeError
        If ``logits`` or ``targets`` does not hold real numbers.
    ValueError
        If ``logits`` is a scalar, if the type and shape of ``targets`` fit neither form, or if
        ``targets`` holds an index out of range or a negative, infinite or NaN value.
    numpy.exceptions.AxisError
        If ``axis`` is out of range.

    Notes
    -----
    The loss [1]_ is computed from log-probabilities that come straight from the logits z::

        logsumexp(z) sum_i t_i - sum_i t_i z_i = -sum_i t_i log p_i

    Classes with t_i = 0 contribute nothing, even with a logit of ``-inf``. A class with t_i > 0
    and zero probability makes the loss ``+inf``.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006, equation 4.108.

    Examples
    --------
    >>> from skmaxent import cross_entropy
    >>> cross_entropy([[0.0, 0.0], [0.0, 1000.0]], [0, 0])
    array([6.93147181e-01, 1.00000000e+03])
    >>> cross_entropy([[0.0, 0.0], [0.0, 1000.0]], [[3, 1], [0.25, 0.75]])
    array([  2.77258872, 250.        ])
    """
    z = classes_last(logits, axis)
    t = _as_distribution(targets, z, axis)
    with np.errstate(all="ignore"):
        _, shifted, _, rest = shifted_exponentials(z)
        surprisal = np.log1p(rest) - shifted  # -log p
        surprisal[(t == 0) & np.isinf(surprisal)] = 0  # 0 log 0 = 0
        result: FloatArray = (t * surprisal).sum(axis=-1).astype(z.dtype)
    return result


def cross_entropy_gradient(logits: ArrayLike, targets: ArrayLike, axis: int = -1) -> FloatArray:
    """Compute the gradient of each sample's cross-entropy with respect to its logits.

    Parameters
    ----------
    logits : array_like of real numbers, at least one-dimensional
        One score per class along ``axis``.
    targets : array_like of numbers
        Class indices or a distribution over the classes, as for ``cross_entropy``.
    axis : int, default=-1
        The class axis.

    Returns
    -------
    ndarray of the shape and type of the logits
        The gradient. It sums to zero along ``axis``.

    Raises
    ------
    TypeError
        If ``logits`` or ``targets`` does not hold real numbers.
    ValueError
        If ``logits`` is a scalar, if the type and shape of ``targets`` fit neither form, or if
        ``targets`` holds an index out of range or a negative, infinite or NaN value.
    numpy.exceptions.AxisError
        If ``axis`` is out of range.

    Notes
    -----
    The gradient is ``p_i sum_j t_j - t_i``, that is ``p - t`` for a distribution [1]_, computed
    as ::

        p_i sum_{j != i} t_j - t_i sum_{j != i} p_j

    which does not cancel where a confident prediction is right.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006, equation 4.109.

    Examples
    --------
    >>> from skmaxent import cross_entropy_gradient
    >>> cross_entropy_gradient([[0.0, 0.0], [0.0, 40.0]], [0, 1])
    array([[-5.00000000e-01,  5.00000000e-01],
           [ 4.24835426e-18, -4.24835426e-18]])
    """
    z = classes_last(logits, axis)
    t = _as_distribution(targets, z, axis)
    with np.errstate(all="ignore"):
        _, shifted, exponentials, rest = shifted_exponentials(z)
        total = 1 + rest
        # Below the maximum at most half the total is subtracted; at the maximum, nothing.
        others = np.where(shifted == 0, rest, total - exponentials)
        other_targets = t.sum(axis=-1, keepdims=True) - t
        gradient = (exponentials * other_targets - t * others) / total
        return np.moveaxis(gradient.astype(z.dtype, copy=False), -1, axis)


def cross_entropy_coef_gradient(
    X: ArrayLike | sparse.sparray | sparse.spmatrix,
    targets: ArrayLike,
    coef: ArrayLike,
    intercept: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Compute the gradient of a linear model's mean cross-entropy with respect to its parameters.

    Parameters
    ----------
    X : array_like or SciPy sparse array or matrix of shape (n_samples, n_features)
        The features.
    targets : array_like of shape (n_samples,) or (n_samples, n_classes)
        Class indices or a distribution over the classes, as for ``cross_entropy``.
    coef : array_like of shape (n_classes, n_features)
        The coefficients.
    intercept : array_like of shape (n_classes,), optional
        The intercepts; zero if not given.
    sample_weight : array_like of shape (n_samples,), optional
        Non-negative weights of the samples in the mean; equal if not given.

    Returns
    -------
    coef_gradient : ndarray of shape (n_classes, n_features)
        The gradient with respect to ``coef``.
    intercept_gradient : ndarray of shape (n_classes,)
        The gradient with respect to ``intercept``, also where that is not given.

    Raises
    ------
    TypeError
        If an argument does not hold real numbers.
    ValueError
        If shapes do not match, if ``targets`` or ``sample_weight`` holds an invalid value, or if
        the weights (without them, the number of samples) do not have a positive, finite sum.

    Notes
    -----
    With logits ``Z = X coef^T + intercept``, G the gradient of each sample's loss with respect to
    its logits, and w the weights divided by their sum [1]_::

        coef_gradient = (diag(w) G)^T X
        intercept_gradient = G^T w

    There is no penalty term. A sparse X is never made dense.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006, equation 4.109.

    Examples
    --------
    >>> from skmaxent import cross_entropy_coef_gradient
    >>> coef_gradient, intercept_gradient = cross_entropy_coef_gradient(
    ...     X=[[1.0, 0.0], [0.0, 2.0]], targets=[0, 1], coef=[[0.0, 0.0], [0.0, 0.0]]
    ... )
    >>> coef_gradient
    array([[-0.25,  0.5 ],
           [ 0.25, -0.5 ]])
    >>> intercept_gradient
    array([0., 0.])
    """
    design: Any = X if sparse.issparse(X) else np.asarray(X)
    design = design.astype(float_dtype(design.dtype, "X"), copy=False)
    coefficients = as_float(coef, "coef")
    if design.ndim != 2:
        raise ValueError(f"X must be two-dimensional, found shape {design.shape}")
    n_samples, n_features = design.shape
    if coefficients.ndim != 2 or coefficients.shape[1] != n_features:
        raise ValueError(
            f"coef must have shape (n_classes, {n_features}) to match X, found {coefficients.shape}"
        )
    bias = _optional_vector(intercept, "intercept", 0, coefficients.shape[0], coefficients.dtype)
    weights = _optional_vector(sample_weight, "sample_weight", 1, n_samples, coefficients.dtype)
    _check_non_negative(weights, "sample_weight")
    with np.errstate(all="ignore"):
        total = weights.sum(dtype=np.float64)
        if not 0 < total < np.inf:
            raise ValueError(
                "sample_weight must have a positive, finite sum (without it, X at least one "
                f"sample), found {total}"
            )
        z = design @ coefficients.T + bias
        fraction = (weights / total).astype(z.dtype)
        residual = cross_entropy_gradient(z, targets) * fraction[:, np.newaxis]
        return (design.T @ residual).T, residual.sum(axis=0)
