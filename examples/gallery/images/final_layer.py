"""
Softmax layer of a neural network
=================================

The last layer of a neural network for classification, the softmax layer, is multinomial logistic
regression on the activations of the layer before. `MaxentClassifier` can replace the softmax layer:
for the given activations it finds the minimum of the mean loss plus a ridge penalty, whereas the
training only approaches a minimum of the network's own objective. This example compares both during
the training of a small network. It also fits the classifier to random features.
"""

# %%
# A network and its hidden activations
# ------------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from skmaxent import MaxentClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, test_size=0.4, random_state=0)


def hidden(network, X):
    """Activations of the last hidden layer."""
    for W, b in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        X = np.maximum(X @ W + b, 0.0)
    return X


# %%
# After 1, 2, 4, ... epochs of training, the last layer of the network is compared with a
# `MaxentClassifier` that is fitted to the same activations. The output is for test images. After
# one epoch the activations are still nearly random. With the `MaxentClassifier` their accuracy is
# already 0.84, and with the network's own last layer it is less than 0.2.

network = MLPClassifier((32,), learning_rate_init=0.002, random_state=0)
epochs, own, ours = [1, 2, 4, 8, 16, 32, 64], [], []
done = 0
for epoch in epochs:
    while done < epoch:
        network.partial_fit(X_train, y_train, classes=np.arange(10))
        done += 1
    last = MaxentClassifier(C=1.0).fit(hidden(network, X_train), y_train)
    own.append((network.score(X_test, y_test), log_loss(y_test, network.predict_proba(X_test))))
    P = last.predict_proba(hidden(network, X_test))
    ours.append((last.score(hidden(network, X_test), y_test), log_loss(y_test, P)))
    print(
        f"epoch {epoch:2d}   softmax layer: accuracy {own[-1][0]:.3f}, log loss {own[-1][1]:.3f}   "
        f"MaxentClassifier: {ours[-1][0]:.3f}, {ours[-1][1]:.3f}"
    )

# %%
# Random features
# ---------------
# Features need not be trained. A `MaxentClassifier` on the pixels is already as accurate on these
# small images as the network. 500 random Fourier features, which approximate a Gaussian kernel,
# lead to a higher accuracy.

raw = MaxentClassifier(C=1.0).fit(X_train, y_train).score(X_test, y_test)
random = make_pipeline(
    RBFSampler(gamma=0.1, n_components=500, random_state=0), MaxentClassifier(C=100.0)
)
kernel = random.fit(X_train, y_train).score(X_test, y_test)
print(f"accuracy on test images: pixels {raw:.3f}, random features {kernel:.3f}")

own, ours = np.array(own), np.array(ours)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for column, name in enumerate(("accuracy", "log loss")):
    axes[column].plot(
        epochs, own[:, column], "o-", color="#D55E00", label="softmax layer of the network"
    )
    axes[column].plot(epochs, ours[:, column], "s-", color="#0072B2", label="MaxentClassifier")
    axes[column].set(xscale="log", xlabel="epochs", ylabel=f"{name} on test images")
    axes[column].set_xticks(epochs, epochs)
    axes[column].minorticks_off()
axes[0].axhline(raw, color="grey", linestyle=":")
axes[0].annotate("pixels alone", (epochs[0], raw), xytext=(0, -11), textcoords="offset points")
axes[0].legend(frameon=False, loc="lower right")
figure.suptitle("Last layer of the network, and MaxentClassifier in its place")
