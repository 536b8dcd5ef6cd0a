"""Data for the benchmark: functions that return X, y and C, or a Penalty."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import real_data
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.preprocessing import PolynomialFeatures, StandardScaler, normalize, scale


@dataclass(frozen=True)
class Penalty:
    """1/(C n) times the L1 norm, or that of the features' groups, and half the squared L2 norm."""

    C: float
    l1_ratio: float = 0.0
    grouped: bool = False

    def value(self, coef, n):
        sizes = np.sqrt((coef**2).sum(axis=0)) if self.grouped else np.abs(coef)
        ridge = 0.5 * (coef**2).sum()
        return (self.l1_ratio * sizes.sum() + (1.0 - self.l1_ratio) * ridge) / (self.C * n)


def ridge(alpha, y):
    """alpha / 2 times the squared norm beside the mean loss: C is 1 / (alpha n)."""
    return Penalty(1.0 / (alpha * len(y)))


def mnist():
    """MNIST, 5,000 x 784 pixels between 0 and 1, 10 classes, alpha = 1e-4."""
    X, y = real_data.mnist()
    return X, y, ridge(1e-4, y)


def mnist_weak_penalty():
    """mnist with alpha = 1e-5."""
    X, y = real_data.mnist()
    return X, y, ridge(1e-5, y)


def mnist_standardised():
    """mnist with pixels of unit variance, alpha = 1e-4."""
    X, y = real_data.mnist()
    return StandardScaler().fit_transform(X), y, ridge(1e-4, y)


def mnist_polynomial():
    """mnist averaged over squares of 4 x 4, all products of two, 5,000 x 1,274, alpha = 1e-4."""
    X, y = real_data.mnist()
    X = X.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)
    return PolynomialFeatures(2, include_bias=False).fit_transform(X), y, ridge(1e-4, y)


def _newsgroups(vectorizer, C):
    texts, y = real_data.newsgroups()
    return vectorizer.fit_transform(texts), y, C


def newsgroups():
    """20 newsgroups, 11,293 x 73,686 TF-IDF, 20 classes, C = 1."""
    return _newsgroups(TfidfVectorizer(), 1.0)


def newsgroups_weak_penalty():
    """newsgroups with C = 100."""
    return _newsgroups(TfidfVectorizer(), 100.0)


def newsgroups_hashed():
    """20 newsgroups, 11,293 x 1,048,576 hashed words, 20 classes, C = 1."""
    return _newsgroups(HashingVectorizer(n_features=2**20), 1.0)


def _reviews(C):
    texts, y = real_data.reviews()
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), min_df=3)
    return vectorizer.fit_transform(texts), y, C


def reviews():
    """Product reviews in Chinese, 35,123 x 100,462 TF-IDF of characters, 2 classes, C = 1."""
    return _reviews(1.0)


def reviews_weak_penalty():
    """reviews with C = 100."""
    return _reviews(100.0)


def reuters_r8():
    """Reuters R8, 5,485 x 19,956 TF-IDF, 8 classes of 41 to 2,840 rows, C = 1."""
    texts, y = real_data.reuters_r8()
    return TfidfVectorizer().fit_transform(texts), y, 1.0


def shuttle():
    """Space shuttle, 49,097 x 9, raw units, 2 classes, C = 1."""
    return *real_data.shuttle(), 1.0


def diamonds():
    """Cut of diamonds, 53,940 x 22, raw units and one-hot columns, 5 classes, C = 1."""
    frame, y = real_data.diamonds()
    return pd.get_dummies(frame, dtype=float).to_numpy(float), y, 1.0


def yeast():
    """Yeast genes, 2,417 x 103, 198 classes, the sets of labels that occur, C = 1."""
    X, labels = real_data.yeast()
    return X, real_data.codes(labels), 1.0


def labels(logits, rng):
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def correlated(n, d, K, rng):
    X = rng.normal(size=(n, d)) @ (np.eye(d) + rng.normal(size=(d, d)) / np.sqrt(d))
    return X, labels(X @ rng.normal(size=(d, K)) / np.sqrt(d), rng)


def tall():
    """100,000 x 100, 10 classes, correlated columns."""
    return *correlated(100_000, 100, 10, np.random.default_rng(0)), 1.0


def tall_float32():
    """tall in float32."""
    X, y, C = tall()
    return X.astype(np.float32), y, C


def raw_units():
    """50,000 x 50, 5 classes, scales from 1e-3 to 1e3, not centred."""
    rng = np.random.default_rng(1)
    X, y = correlated(50_000, 50, 5, rng)
    units = 10.0 ** rng.uniform(-3, 3, 50)
    return X * units + 5 * units * rng.normal(size=50), y, 1.0


def imbalanced():
    """100,000 x 30, 3 classes, the rarest a thousandth of the largest."""
    rng = np.random.default_rng(4)
    X, _ = correlated(100_000, 30, 3, rng)
    logits = X @ rng.normal(size=(30, 3)) / 12 + np.log([1.0, 0.1, 0.001])
    return X, labels(logits, rng), 1.0


def digits():
    """1,797 x 64, 10 classes, as scikit-learn ships them."""
    return *load_digits(return_X_y=True), 1.0


def wine():
    """178 x 13, 3 classes, raw units."""
    return *load_wine(return_X_y=True), 1.0


def tiny():
    """Iris, 150 x 4, 3 classes: the fixed cost of a fit."""
    return *load_iris(return_X_y=True), 1.0


def images():
    """10,000 x 784, 10 classes, sparse strokes like MNIST's."""
    rng = np.random.default_rng(5)
    strokes = np.abs(rng.normal(size=(10, 20, 784))) * (rng.random((10, 20, 784)) < 0.06)
    y = rng.integers(0, 10, 10_000)
    mixture = rng.dirichlet(np.full(20, 0.15), 10_000)
    X = np.einsum("nm,nmd->nd", mixture, strokes[y]) + 0.15 * np.abs(rng.normal(size=(10_000, 784)))
    return np.clip(X * (rng.random(784) < 0.9), 0, 1), y, 1.0


def many_classes():
    """20,000 x 128, 300 classes."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20_000, 128))
    return X, labels(X @ rng.normal(size=(128, 300)) * (2 / np.sqrt(128)), rng), 1.0


def thousands_of_classes():
    """50,000 x 64, 5,000 classes."""
    rng = np.random.default_rng(6)
    X, W = rng.normal(size=(50_000, 64)), rng.normal(size=(64, 5000)) * (3 / np.sqrt(64))
    y = np.concatenate([labels(X[i : i + 2000] @ W, rng) for i in range(0, 50_000, 2000)])
    y[:5000] = np.arange(5000)
    return X, y, 1.0


def _network_features(n, d, K):
    """Activations of a random network of noisy images of MNIST, float32, and classes of a teacher.

    Returns X of shape (n, d) and y of shape (n,).
    """
    images, _ = real_data.mnist()
    rng = np.random.default_rng(13)
    first = (rng.normal(size=(784, 512)) / 28).astype(np.float32)
    second = (rng.normal(size=(512, d)) * np.sqrt(2 / 512)).astype(np.float32)
    teacher = rng.normal(size=(d, K)).astype(np.float32)
    X, y = np.empty((n, d), dtype=np.float32), np.empty(n, dtype=int)
    parts = [slice(start, start + 2500) for start in range(0, n, 2500)]
    for part in parts:
        rows = images[rng.integers(0, len(images), len(y[part]))]
        noisy = (rows + 0.3 * rng.normal(size=rows.shape)).astype(np.float32)
        X[part] = np.maximum(np.maximum(noisy @ first, 0.0) @ second, 0.0)
    center, size = X.mean(axis=0), X.std(axis=0) + 1e-6
    for part in parts:
        logits = (X[part] - center) / size @ teacher
        y[part] = labels(4.0 * logits / logits.std(), rng)
    y[:K] = np.arange(K)
    return X, y


def network_features():
    """Features of a network, 50,000 x 256 float32, 1,000 classes, C = 1."""
    return *_network_features(50_000, 256, 1000), 1.0


def network_features_wide():
    """Features of a network, 50,000 x 512 float32, 1,000 classes, C = 1."""
    return *_network_features(50_000, 512, 1000), 1.0


def _text(C):
    rng = np.random.default_rng(2)
    n, d, words = 20_000, 50_000, 80
    share = 1 / np.arange(1, d + 1)
    columns = rng.choice(d, n * words, p=share / share.sum())
    X = sp.csr_matrix((np.ones(n * words), (np.repeat(np.arange(n), words), columns)), (n, d))
    X.sum_duplicates()
    frequency = np.bincount(X.indices, minlength=d)
    X = normalize((X @ sp.diags(np.log((n + 1) / (frequency + 1)) + 1)).tocsr())
    return X, labels(6 * (X @ rng.normal(size=(d, 20))), rng), C


def text():
    """20,000 x 50,000 TF-IDF, 80 Zipf-distributed words a row, 20 classes, C = 1."""
    return _text(1.0)


def text_weak_penalty():
    """text with C = 100."""
    return _text(100.0)


def one_hot():
    """100,000 rows, 8 categorical columns one-hot as CSR (1,110 columns), 5 classes."""
    rng = np.random.default_rng(7)
    n, levels = 100_000, [2, 5, 10, 20, 50, 100, 300, 623]
    starts = np.cumsum([0, *levels[:-1]])
    codes = [
        np.minimum(rng.zipf(1.4, n) - 1, size - 1) if size > 10 else rng.integers(0, size, n)
        for size in levels
    ]
    columns = (np.column_stack(codes) + starts).ravel()
    X = sp.csr_matrix(
        (np.ones(n * len(levels)), columns, np.arange(0, n * len(levels) + 1, len(levels))),
        (n, sum(levels)),
    )
    return X, labels(X @ rng.normal(size=(sum(levels), 5)), rng), 1.0


def million_rows():
    """1,000,000 x 20, 3 classes."""
    return *correlated(1_000_000, 20, 3, np.random.default_rng(8)), 1.0


def unpenalised():
    """5,000 x 10, 4 classes, no penalty."""
    return *correlated(5000, 10, 4, np.random.default_rng(9)), np.inf


def _lasso(C, grouped=False):
    rng = np.random.default_rng(10)
    X = rng.normal(size=(20_000, 200)) @ (np.eye(200) + rng.normal(size=(200, 200)) / 20.0)
    W = rng.normal(size=(200, 5)) * (np.arange(200) < 20)[:, None]
    return X, labels(X @ W / np.sqrt(20), rng), Penalty(C, 1.0, grouped)


def lasso():
    """20,000 x 200, 5 classes, lasso, 20 features that matter."""
    return _lasso(0.02)


def lasso_raw_units():
    """lasso with scales from 1e-3 to 1e3, not centred, C = 0.05."""
    X, y, _ = _lasso(1.0)
    rng = np.random.default_rng(11)
    units = 10.0 ** rng.uniform(-3, 3, 200)
    return X * units + 5 * units * rng.normal(size=200), y, Penalty(0.05, 1.0)


def lasso_text():
    """text with a lasso, C = 1."""
    return *_text(1.0)[:2], Penalty(1.0, 1.0)


def lasso_text_weak():
    """lasso_text with C = 2."""
    return *_text(1.0)[:2], Penalty(2.0, 1.0)


def _wide(C, grouped=False):
    rng = np.random.default_rng(12)
    X = sp.random(5000, 20_000, density=0.005, random_state=rng, format="csr")
    W = 3.0 * rng.normal(size=(20_000, 10)) * (rng.random(20_000) < 0.02)[:, None]
    return X, labels(X @ W, rng), Penalty(C, 1.0, grouped)


def lasso_wide():
    """5,000 x 20,000 with 0.5 % entries, 10 classes, lasso, C = 1."""
    return _wide(1.0)


def lasso_correlated():
    """1,000 x 150 columns that share five factors, 10 classes, lasso, C = 10."""
    rng = np.random.default_rng(14)
    X = 0.5 * rng.normal(size=(1000, 150)) + rng.normal(size=(1000, 5)) @ rng.normal(size=(5, 150))
    return X, labels(X[:, :10] @ rng.normal(size=(10, 10)), rng), Penalty(10.0, 1.0)


def lasso_digits():
    """1,797 x 64, 10 classes, lasso, C = 0.1."""
    return *load_digits(return_X_y=True), Penalty(0.1, 1.0)


def lasso_digits_weak():
    """lasso_digits, standardised, C = 200."""
    X, y = load_digits(return_X_y=True)
    return scale(X), y, Penalty(200.0, 1.0)


def lasso_iris():
    """150 x 4, 3 classes, standardised, lasso, C = 1."""
    X, y = load_iris(return_X_y=True)
    return scale(X), y, Penalty(1.0, 1.0)


def lasso_wine():
    """178 x 13, 3 classes, standardised, lasso, C = 1."""
    X, y = load_wine(return_X_y=True)
    return scale(X), y, Penalty(1.0, 1.0)


def lasso_cancer():
    """569 x 30, 2 classes, standardised, lasso, C = 1."""
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y, Penalty(1.0, 1.0)


def _penguins(C):
    from plotnine.data import penguins

    rows = penguins.dropna()
    columns = [rows[name].to_numpy(float) for name in rows if name.endswith(("_mm", "_g"))]
    columns += [rows[name] == level for name in ("island", "sex") for level in rows[name].unique()]
    return scale(np.column_stack(columns)), rows["species"].cat.codes.to_numpy(), Penalty(C, 1.0)


def lasso_penguins():
    """333 x 9, 3 classes, a column for each level of factors, standardised, lasso, C = 1."""
    return _penguins(1.0)


def lasso_penguins_weak():
    """lasso_penguins with C = 10,000."""
    return _penguins(1e4)


def group_lasso():
    """20,000 x 200, 5 classes, group lasso."""
    return _lasso(0.02, grouped=True)


def group_lasso_wide():
    """5,000 x 20,000 with 0.5 % entries, 10 classes, group lasso, C = 1."""
    return _wide(1.0, grouped=True)


def elastic_net():
    """20,000 x 200, 5 classes, elastic net, l1_ratio = 0.5."""
    X, y, _ = _lasso(1.0)
    return X, y, Penalty(0.02, 0.5)


# Cases with real data; the others are synthetic.
REAL = (
    mnist,
    mnist_weak_penalty,
    mnist_standardised,
    mnist_polynomial,
    newsgroups,
    newsgroups_weak_penalty,
    newsgroups_hashed,
    reviews,
    reviews_weak_penalty,
    reuters_r8,
    shuttle,
    diamonds,
    yeast,
    digits,
    wine,
    tiny,
    lasso_digits,
    lasso_digits_weak,
    lasso_iris,
    lasso_wine,
    lasso_cancer,
    lasso_penguins,
    lasso_penguins_weak,
)
CASES = {
    case.__name__: case
    for case in (
        *REAL,
        tall,
        tall_float32,
        raw_units,
        imbalanced,
        million_rows,
        unpenalised,
        images,
        many_classes,
        thousands_of_classes,
        network_features,
        network_features_wide,
        text,
        text_weak_penalty,
        one_hot,
        lasso,
        lasso_raw_units,
        lasso_text,
        lasso_text_weak,
        lasso_wide,
        lasso_correlated,
        group_lasso,
        group_lasso_wide,
        elastic_net,
    )
}


def problem(name):
    """X, y and the penalty of a case."""
    X, y, penalty = CASES[name]()
    return X, y, penalty if isinstance(penalty, Penalty) else Penalty(penalty)
