"""The dtype of targets beside features in float32."""

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent._storage._row_targets import in_dtype


@pytest.mark.parametrize(
    ("targets", "dtype"),
    [
        ([0.0, 0.25, 1.0], np.float32),
        ([0.0, 1.0 - 1e-6, 1.0], np.float64),  # float32 knows 1 - 1e-6 only to 5 %
        ([0, 2, 1], np.int64),
    ],
)
def test_targets_keep_the_digits_of_their_complements(targets, dtype):
    targets = np.array(targets, dtype=np.int64 if dtype is np.int64 else np.float64)
    found = in_dtype(targets, np.float32)
    assert found.dtype == dtype
    np.testing.assert_allclose(1.0 - found, 1.0 - targets, rtol=1e-3)


def test_sparse_targets_are_converted():
    assert in_dtype(sp.csr_array(np.eye(3)), np.float32).dtype == np.float32
