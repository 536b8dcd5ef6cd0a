r"""
ソフトマックス関数の解説 (Softmax, in Japanese)
===============================================

This is the page :doc:`softmax` for people who read Japanese.

このページは、ソフトマックス関数を理解したい方、または公式を確かめたい方のためのものです。定義、
数値的な安定性、性質、微分、交差エントロピー、勾配法、温度、
そしてシグモイド・tanh・ReLU との比較を扱います。予備知識は、初歩の微分と線形代数です。

ソフトマックス関数は、 *ロジット* と呼ばれる実数のベクトルを確率に変換します。

.. math::

   p_i = \operatorname{softmax}(z)_i = \frac{e^{z_i}}{\sum_{j=1}^K e^{z_j}} .

この定義から出発して、分類器の学習に使う勾配を導きます。各段階の計算には、
このパッケージの次の関数を使います。どの関数も配列を受け取り、クラスは最後の軸に並びます。
表の :math:`t` は 1 つの行の目標の分布です。クラスがわかっていれば、
正解のクラスでは 1、ほかのクラスでは 0 です。 :math:`x` はその行の特徴量です。
:math:`\delta_{ik}` は、 :math:`i = k` のとき 1、それ以外のとき 0 とします。

.. list-table::
   :header-rows: 1
   :widths: 40 60

   * - 関数
     - 式
   * - :func:`skmaxent.softmax`
     - :math:`p_i = e^{z_i}/\sum_j e^{z_j}`
   * - :func:`skmaxent.log_softmax`
     - :math:`\log p_i = z_i - \log\sum_j e^{z_j}`
   * - :func:`skmaxent.logsumexp`
     - :math:`\log\sum_j e^{z_j}`
   * - :func:`skmaxent.sigmoid`
     - :math:`1/(1 + e^{-z})` 、すなわち :math:`(0, z)` のソフトマックス
   * - :func:`skmaxent.softmax_jacobian`
     - :math:`\partial p_i/\partial z_k = p_i(\delta_{ik} - p_k)`
   * - :func:`skmaxent.cross_entropy`
     - :math:`-\sum_i t_i\log p_i`
   * - :func:`skmaxent.cross_entropy_gradient`
     - :math:`p - t`
   * - :func:`skmaxent.cross_entropy_coef_gradient`
     - :math:`(p - t)\,x^\top` と :math:`p - t` の、行についての平均

コードはすべて、このページを作成するときに実行されます。
"""

import matplotlib.pyplot as plt
import numpy as np

from skmaxent import (
    MaxentClassifier,
    cross_entropy,
    cross_entropy_coef_gradient,
    cross_entropy_gradient,
    log_softmax,
    sigmoid,
    softmax,
    softmax_jacobian,
)

# 色覚の多様性に配慮した、岡部と伊藤の配色。
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %%
# ベクトルと行列のソフトマックス
# ------------------------------
#
# ロジットのベクトルにソフトマックスを適用すると、確率分布が得られます。
# 最大のロジットをもつクラスの確率が最も大きく、どの確率も正です。

z = np.array([2.0, 1.0, 0.1])
print(softmax(z))

# %%
# 各行が 1 つの標本のロジットである行列を渡すと、各行がその標本の確率である行列が返ります。
# クラスの軸は、既定では最後の軸です。別の軸は ``axis`` で指定します。

Z = np.array([[2.0, 1.0, 0.1], [0.0, 0.0, 0.0], [-1.0, 3.0, 1.0]])
print(softmax(Z))

# %%
# 数値的な安定性: 最大値を引く
# ----------------------------
#
# 定義どおりに計算すると、オーバーフローが起こります。
# 倍精度では :math:`z > 709.8` のとき :math:`e^{z}` が無限大になり、
# 無限大を無限大で割ると NaN になります。逆に、すべてのロジットが 0 よりはるかに小さいと、
# 指数関数の値はすべて 0 に丸められます。0 を 0 で割った値も NaN です。


def naive_softmax(z):
    e = np.exp(z)
    return e / e.sum(axis=-1, keepdims=True)


with np.errstate(all="ignore"):
    print("large logits    ", naive_softmax(np.array([1000.0, 1001.0, 1002.0])))
    print("negative logits ", naive_softmax(np.array([-1000.0, -999.0, -998.0])))

# %%
# すべてのロジットに同じ定数を足しても、分子と分母で打ち消し合います。
#
# .. math::
#
#    \frac{e^{z_i + c}}{\sum_j e^{z_j + c}} = \frac{e^c\, e^{z_i}}{e^c \sum_j e^{z_j}}
#    = \frac{e^{z_i}}{\sum_j e^{z_j}} .
#
# したがって、結果は :math:`c` によりません。 :math:`c = -\max_j z_j` とすると、
# 指数の最大値は 0 になります。どの項も 1 を超えず、分母は 1 以上になるので、
# オーバーフローも 0 割る 0 も起こりません。行列では、各行からその行の最大値を引きます。
# 行列全体の最大値を引いた場合は、ロジットがその最大値よりはるかに小さい行で、
# やはり 0 割る 0 が起こります。

print("large logits    ", softmax([1000.0, 1001.0, 1002.0]))
print("negative logits ", softmax([-1000.0, -999.0, -998.0]))

Z = np.array([[1000.0, 1001.0], [-1000.0, -999.0]])
with np.errstate(all="ignore"):
    print("one maximum for the matrix\n", naive_softmax(Z - Z.max()))
print("one for each row\n", softmax(Z))

# %%
# 確率の対数にも似た問題があります。倍精度で表せる最小の正の数は、
# 約 :math:`5 \times 10^{-324}` です。その半分より小さい確率は 0 に丸められ、
# 対数は :math:`-\infty` になります。 :func:`skmaxent.log_softmax` は、
# 確率を経由せずにロジットから対数を計算するので、結果は有限の値になります。

with np.errstate(divide="ignore"):
    print("log(softmax)", np.log(softmax([0.0, 1000.0])))
print("log_softmax ", log_softmax([0.0, 1000.0]))

# %%
# 性質: 確率の公理
# ----------------
#
# ロジットが有限であれば、結果は必ずクラスについての確率分布になります。
#
# 1. *非負性。* :math:`p_i \ge 0` です。 :math:`e^{z_i} > 0` なので、ソフトマックスではさらに
#    :math:`p_i > 0` が成り立ちます。(浮動小数点数では、確率が 0 に丸められることがあります。)
# 2. *総和が 1。* :math:`\sum_i p_i = \sum_i e^{z_i} / \sum_j e^{z_j} = 1` です。
# 3. *加法性。* クラスは互いに排反なので、クラスの集合の確率は、各クラスの確率の和として定まります。
#
# これらはどの確率分布にも成り立つ性質です。ソフトマックスには、もう 1 つの性質があります。
# 2 つのクラスのオッズ :math:`p_i / p_j = e^{z_i - z_j}` は、分母が約分されるので、
# ほかのクラスのロジットによりません。有権者や消費者の選択のモデルでは、
# この性質を *無関係な選択肢からの独立性* (IIA) と呼びます。
# その検定については :doc:`/inference` (英語)をご覧ください。

rng = np.random.default_rng(0)
P = softmax(rng.normal(scale=5.0, size=(100_000, 4)))
print("smallest probability      ", P.min())
print("largest distance from one ", abs(P.sum(axis=1) - 1).max())

three, two = softmax([2.0, 1.0, 0.1]), softmax([2.0, 1.0])
print("odds of the first two classes, with and without the third:")
print(three[0] / three[1], two[0] / two[1], np.exp(2.0 - 1.0))

# %%
# シグモイド: 2 クラスのソフトマックス
# ------------------------------------
#
# 2 クラスの場合、確率はロジットの差だけで決まります。分子と分母を :math:`e^{z_2}` で割ると、
#
# .. math::
#
#    \operatorname{softmax}(z_1, z_2)_2 = \frac{e^{z_2}}{e^{z_1} + e^{z_2}}
#    = \frac{1}{1 + e^{-(z_2 - z_1)}} = \sigma(z_2 - z_1)
#
# となります。つまり 2 値のロジスティック回帰は、
# ロジットを :math:`(0, z)` とした 2 クラスのソフトマックスです。

print(softmax([0.3, 1.7])[1], sigmoid(1.7 - 0.3))

t = np.linspace(-6, 6, 241)
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained", sharey=True)
axes[0].plot(t, sigmoid(t), color=BLUE, lw=5, alpha=0.35, label="sigmoid(z)")
axes[0].plot(
    t, softmax(np.c_[0 * t, t])[:, 1], color=ORANGE, lw=1.5, ls="--", label="softmax(0, z), second"
)
axes[0].set(title="Two classes", xlabel="logit z", ylabel="probability")
axes[0].legend(frameon=False, loc="upper left")
curves = softmax(np.c_[t, 0 * t + 1, 0 * t - 1])
styles = zip(curves.T, (BLUE, ORANGE, GREEN), ("-", "--", "-."), ("z", "1", "−1"), strict=True)
for curve, colour, line, name in styles:
    axes[1].plot(t, curve, color=colour, ls=line, label=f"class with logit {name}")
axes[1].set(title="Three classes, one logit varies", xlabel="logit z")
axes[1].legend(frameon=False, loc="center left", bbox_to_anchor=(0.0, 0.62))
plt.show()

# %%
# ソフトマックスのヤコビ行列
# --------------------------
#
# :math:`s = \sum_j e^{z_j}` とおくと、 :math:`p_i = e^{z_i}/s` 、
# :math:`\partial s/\partial z_k = e^{z_k}` です。商の微分公式を使うと、2 つの場合に分かれます。
#
# *同じクラスのロジットで微分する場合* ( :math:`i = k` )。分子も分母も :math:`z_k` の関数です。
#
# .. math::
#
#    \frac{\partial p_k}{\partial z_k} = \frac{e^{z_k} s - e^{z_k} e^{z_k}}{s^2}
#    = \frac{e^{z_k}}{s}\Bigl(1 - \frac{e^{z_k}}{s}\Bigr) = p_k (1 - p_k) .
#
# *別のクラスのロジットで微分する場合* ( :math:`i \ne k` )。分母だけが :math:`z_k` の関数です。
#
# .. math::
#
#    \frac{\partial p_i}{\partial z_k} = \frac{0 \cdot s - e^{z_i} e^{z_k}}{s^2} = -p_i\, p_k .
#
# :math:`\delta_{ik}` を使うと、2 つの場合は 1 つの式にまとまります。
#
# .. math::
#
#    \frac{\partial p_i}{\partial z_k} = p_i(\delta_{ik} - p_k),
#    \qquad J = \operatorname{diag}(p) - p\,p^\top .
#
# この行列は対称です。確率の総和は一定なので、各列の和は 0 になります。
# すべてのロジットに同じ定数を足しても確率は変わらないので、各行の和も 0 です。

z = np.array([2.0, 1.0, 0.1, -1.0])
J = softmax_jacobian(z)
p = softmax(z)
step = 1e-6 * np.eye(4)
differences = (softmax(z + step) - softmax(z - step)).T / 2e-6
print("diag(p) - p pᵀ      ", abs(J - (np.diag(p) - np.outer(p, p))).max())
print("central differences ", abs(J - differences).max())
print("row sums            ", J.sum(axis=1))

# %%
# 次の図はこの行列を示しています。あるクラスのロジットが大きくなると、
# そのクラスの確率は上がり(対角成分)、ほかのすべてのクラスの確率は下がります。
# 対角成分の傾き :math:`p_k(1 - p_k)` は、確率が 1/2 のときに最大になり、
# 確率が 0 または 1 に近いときは小さくなります。

limit = abs(J).max()
fig, ax = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
image = ax.imshow(J, cmap="RdBu_r", vmin=-limit, vmax=limit)
for i, row in enumerate(J):
    for k, value in enumerate(row):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(k, i, f"{value:.3f}".replace("-", "−"), ha="center", va="center", color=colour)
ticks = range(len(z))
ax.set_xticks(ticks, [f"{value:g}".replace("-", "−") for value in z])
ax.set_yticks(ticks, [f"{value:.2f}" for value in p])
ax.spines[:].set_visible(False)
ax.set(
    xlabel="logit that varies, $z_k$",
    ylabel="probability that changes, $p_i$",
    title="Jacobian of the softmax",
)
fig.colorbar(image, ax=ax, label=r"$\partial p_i / \partial z_k$")
plt.show()

# %%
# 交差エントロピーの勾配
# ----------------------
#
# モデルが正解のクラス :math:`y` に与える確率を :math:`p_y` とすると、
# その行の損失は :math:`-\log p_y` です。一般に、目標の分布を :math:`t` とすると、
# 損失は次の交差エントロピーです。
#
# .. math::
#
#    \ell(z) = -\sum_i t_i \log p_i .
#
# クラス :math:`y` で 1、ほかのクラスで 0 となる :math:`t` ( *one-hot* ベクトル)については、
# これは :math:`-\log p_y` に等しくなります。
# :math:`\log p_i` の微分は :math:`1/p_i` と :math:`p_i` の微分との積なので、
# ヤコビ行列の因子 :math:`p_i` が約分されます。
#
# .. math::
#
#    \frac{\partial \ell}{\partial z_k} = -\sum_i \frac{t_i}{p_i}\, p_i(\delta_{ik} - p_k)
#    = -t_k + p_k \sum_i t_i = p_k - t_k .
#
# 最後の等号では、目標の総和が 1 であることを使いました。勾配は、
# 確率のベクトルから目標のベクトルを引いたものです。モデルが自信をもって間違えたとき、
# 正解のクラスのロジットについての微分 :math:`p_y - 1` は、
# :math:`p_y` がどれほど小さくても −1 に近い値になります。

z = np.array([2.0, 1.0, 0.1, -1.0])
label = 2
t = np.eye(4)[label]
print("loss      ", cross_entropy(z, label), -np.log(softmax(z)[label]))
print("gradient  ", cross_entropy_gradient(z, label))
print("p − t     ", softmax(z) - t)

# %%
# 左の図は、確率、目標、両者の差を示しています。右の図は 2 クラスの場合です。
# 2 つ目のクラスが正解で、その確率を :math:`p` とします。
# この図は、交差エントロピーの勾配と、二乗誤差 :math:`\tfrac12(p - 1)^2` の勾配を比べたものです。
# 二乗誤差の勾配には因子 :math:`p(1 - p)` があります。そのため、
# モデルが自信をもって間違えたときに勾配がほとんど 0 になり、学習が進みません。

fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
place = np.arange(4)
parts = (
    ("p", softmax(z), BLUE),
    ("t", t, GREY),
    ("p − t", cross_entropy_gradient(z, label), ORANGE),
)
for shift, (name, values, colour) in zip((-0.26, 0.0, 0.26), parts, strict=True):
    axes[0].bar(place + shift, values, 0.24, color=colour, label=name)
axes[0].axhline(0, color="black", lw=0.8)
axes[0].set_xticks(place, [f"class {k}" for k in place])
axes[0].set(title="Gradient of the cross-entropy, label 2", ylabel="value", ylim=(-1.05, 1.3))
axes[0].legend(frameon=False, ncols=3, loc="upper left")

logit = np.linspace(-8, 8, 321)
right = sigmoid(logit)
axes[1].plot(logit, right - 1, color=BLUE, label="cross-entropy: p − 1")
axes[1].plot(
    logit,
    (right - 1) * right * (1 - right),
    color=ORANGE,
    ls="--",
    label="squared error: (p − 1) p (1 − p)",
)
axes[1].axhline(0, color="black", lw=0.8)
axes[1].set(
    title="Two classes, the second is true",
    xlabel="logit of the true class",
    ylabel="gradient",
    ylim=(-1.05, 0.45),
)
axes[1].legend(frameon=False, loc="upper left")
plt.show()

# %%
# 線形モデル :math:`z = Wx + b` では、連鎖律により、 :math:`W` の勾配は :math:`(p - t)\,x^\top` 、
# :math:`b` の勾配は :math:`p - t` です。 :func:`skmaxent.cross_entropy_coef_gradient` は、
# この 2 つの勾配の、行についての平均を計算します。 :class:`skmaxent.MaxentClassifier` は、
# リッジ罰則の場合、罰則項を含む目的関数の勾配が 0 になる係数を求めます。
# 行の数を :math:`n` とすると、 :math:`(p - t)\,x^\top` の平均と :math:`W/(Cn)` との和が
# 0 になります。
# 切片には罰則がかからないので、 :math:`p - t` の平均はそれだけで 0 になります。
# 2 クラスの場合、 ``coef_`` は :math:`W` の 2 行目であり、この式が成り立つのは 2 行目です。
# :math:`W` の 1 行目は 0 に固定されています。
#
# 勾配法
# ------
#
# 最急降下法では、この勾配にステップ幅を掛けたものを、係数から繰り返し引いていきます。
# 線形モデルの損失は凸関数です。どの係数でもヘッセ行列の固有値が :math:`L` を超えないとします。
# 損失に最小値があれば、 :math:`2/L` より小さいどのステップ幅でも、最急降下法は最小値に収束します。
# ヤコビ行列 :math:`\operatorname{diag}(p) - p\,p^\top` の固有値は 1/2 を超えないので、ここでは
# :math:`L` を :math:`X^\top X/n` の最大固有値の半分とし、ステップ幅を :math:`1/L` とします。
# 1 つの特徴量の値がほかよりずっと大きいと、この幅はほかの特徴量の係数にとって小さすぎるため、
# 収束に非常に長い時間がかかります。次の図は、
# 標準偏差が 1 と 10 の 2 つの特徴量をそのまま使った場合と、
# 標準偏差で割ってから使った場合を比べたものです。
#
# :class:`skmaxent.MaxentClassifier` のソルバーはニュートン法です。
# 最初の前処理行列(preconditioner)は、特徴量のないモデルのヘッセ行列です。
# 小さな問題では、ヘッセ行列そのものを分解します。
# そのため、特徴量の単位や相関によって遅くなることはほとんどありません。
# 詳しくは :doc:`/objective` (英語)で説明しています。
# :doc:`/gallery/large_data/gradient_methods` (英語)では、
# 手書き数字を使って 4 つの方法を比べています。

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 2)) * [1.0, 10.0]
labels = (X @ [1.0, 0.1] + rng.logistic(size=300) > 0).astype(int)


def descend(X, n_steps=200):
    """各ステップの前の損失を返す。ステップ幅は 1/L である。"""
    coef, losses = np.zeros((2, 2)), []
    step = 2 / np.linalg.eigvalsh(X.T @ X / len(X)).max()
    for _ in range(n_steps):
        losses.append(cross_entropy(X @ coef.T, labels).mean())
        coef -= step * cross_entropy_coef_gradient(X, labels, coef)[0]
    return np.array(losses)


best = MaxentClassifier(C=np.inf, fit_intercept=False).fit(X, labels)
minimum = cross_entropy(np.c_[np.zeros(len(X)), X @ best.coef_[0]], labels).mean()
fig, ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
ax.semilogy(descend(X) - minimum, color=ORANGE, label="raw units")
ax.semilogy(descend(X / X.std(axis=0)) - minimum, color=BLUE, ls="--", label="standardised")
ax.set(title="Gradient descent", xlabel="step", ylabel="loss minus its minimum", ylim=(1e-12, 1))
ax.legend(frameon=False)
plt.show()

# %%
# 温度
# ----
#
# ソフトマックスを適用する前に、ロジットを温度 :math:`T` で割ることがあります。
# :math:`T < 1` では分布が 1 つのクラスに集中し、 :math:`T > 1` では一様分布に近づきます。
# クラスの順序は変わりません。 :math:`T \to 0` では最大のロジットをもつクラスの確率が 1 に近づき、
# :math:`T \to \infty` では一様分布に近づきます。
#
# 温度スケーリングは、学習に使わなかった行で温度を推定し、自信過剰な確率を補正する方法です。
# 蒸留では、大きなモデルの確率を目標として、小さなモデルを学習させます。
# 温度を高くすると、この目標が一様分布に近づきます。

z = np.array([2.0, 1.0, 0.1, -1.0])
temperatures = (0.25, 1.0, 4.0)
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
for shift, T, colour in zip((-0.26, 0.0, 0.26), temperatures, (ORANGE, BLUE, GREEN), strict=True):
    axes[0].bar(np.arange(4) + shift, softmax(z / T), 0.24, color=colour, label=f"T = {T:g}")
axes[0].set_xticks(range(4), [f"z = {value:g}".replace("-", "−") for value in z])
axes[0].set(title="The same logits at three temperatures", ylabel="probability")
axes[0].legend(frameon=False)

T = np.geomspace(0.05, 50, 200)
P = softmax(z / T[:, None])
entropy = -(P * log_softmax(z / T[:, None])).sum(axis=1)
axes[1].semilogx(T, entropy, color=PURPLE)
axes[1].axhline(np.log(4), color=GREY, ls=":", lw=1)
axes[1].annotate("uniform: log 4", (0.05, np.log(4)), xytext=(2, -12), textcoords="offset points")
axes[1].set(title="Entropy", xlabel="temperature T", ylabel="entropy, base e", ylim=(0, 1.5))
plt.show()

# %%
# シグモイド、tanh、ReLU との比較
# -------------------------------
#
# ソフトマックスはベクトルをベクトルに写します。ほかの関数は、数を 1 つずつ写します。図では、
# 3 つのクラスのうち 2 つのロジットを 0 に固定し、
# 残りのクラスの確率を、そのクラスのロジットの関数として描いています。


def relu(z):
    return np.maximum(z, 0)


z = np.linspace(-5, 5, 401)
row = np.c_[z, 0 * z, 0 * z]
functions = {
    "softmax": (softmax(row)[:, 0], softmax_jacobian(row)[:, 0, 0], BLUE, "-"),
    "sigmoid": (sigmoid(z), sigmoid(z) * sigmoid(-z), ORANGE, "--"),
    "tanh": (np.tanh(z), 1 - np.tanh(z) ** 2, GREEN, "-."),
    "ReLU": (relu(z), np.where(z > 0, 1.0, 0.0), PURPLE, ":"),
}
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.8), layout="constrained")
for name, (value, slope, colour, line) in functions.items():
    width = 2.2 if name == "ReLU" else 1.6
    axes[0].plot(z, value, color=colour, ls=line, lw=width, label=name)
    axes[1].plot(z, slope, color=colour, ls=line, lw=width, label=name)
axes[0].axhline(0, color="black", lw=0.6)
axes[0].set(title="Function", xlabel="z", ylabel="value", ylim=(-1.15, 2.3))
axes[0].legend(frameon=False, loc="upper left")
axes[1].set(title="Derivative", xlabel="z", ylabel="slope", ylim=(-0.03, 1.1))
axes[1].legend(frameon=False, loc="upper left")
plt.show()

# %%
# .. list-table::
#    :header-rows: 1
#    :widths: 14 24 16 24 32
#
#    * - 関数
#      - 式
#      - 値域
#      - 導関数
#      - 用途
#    * - softmax
#      - :math:`e^{z_i}/\sum_j e^{z_j}`
#      - :math:`(0, 1)` 、総和 1
#      - :math:`p_i(\delta_{ik} - p_k)`
#      - 出力層(互いに排反な :math:`K` クラスの 1 つ)、アテンションの重み
#    * - シグモイド
#      - :math:`1/(1 + e^{-z})`
#      - :math:`(0, 1)`
#      - :math:`\sigma(1 - \sigma)` 、最大 1/4
#      - 出力層(2 クラス、または同時に複数のラベル)、ゲート
#    * - tanh
#      - :math:`2\sigma(2z) - 1`
#      - :math:`(-1, 1)`
#      - :math:`1 - \tanh^2 z` 、最大 1
#      - 隠れ層(0 が中心)、再帰型ネットワークの状態
#    * - ReLU
#      - :math:`\max(0, z)`
#      - :math:`[0, \infty)`
#      - :math:`z < 0` では 0、 :math:`z > 0` では 1
#      - 隠れ層。 :math:`z` が大きくても傾きが消えない
#
# 最初の 3 つの関数は飽和します。つまり、0 から離れると傾きがほとんどなくなります。隠れ層では、
# 飽和すると学習が遅くなります。出力層のソフトマックスやシグモイドでは、
# 損失が交差エントロピーなら傾きの因子が約分され、勾配が :math:`p - t` になるので、
# 学習は遅くなりません。ReLU の傾きは正の数ではつねに 1 で、
# 飽和しません。ReLU の弱点は *ユニットの死* です。あるユニットの入力がすべての行で負になると、
# 出力も傾きもすべての行で 0 になります。すると重みの勾配も 0 になり、重みが変化しなくなります。
# ステップ幅が大きすぎるときに起こりやすい現象です。
# 負の数にも小さな傾きをもたせた Leaky ReLU を使えば避けられます。
#
# 次のコードは、50 個のユニットをもつ隠れ層の重みを乱数で決め、
# 「勾配法」の節の 300 行すべてで傾きが 0 になるユニットを数えます。ステップ幅が大きすぎると、
# バイアスが大きな負の数になることがあります。すると、ほとんどのユニットが死にます。

hidden = X @ rng.normal(size=(2, 50))
for bias in (0.0, -50.0, -100.0):
    dead = (hidden + bias <= 0).all(axis=0)
    print(f"bias {bias:6.1f}: {dead.sum()} of 50 units are dead")

# %%
# 写真のタグのように、互いに排反でないラベルには、ラベルごとにシグモイドを使います。
# :class:`skmaxent.MultilabelMaxentClassifier` をご覧ください。最後のコードは、
# 上の図の範囲での 4 つの関数の最小値と最大値、および傾きの最大値を表示し、
# tanh の式を確かめます。

for name, (value, slope, _, _) in functions.items():
    print(
        f"{name:8s} values {value.min():6.3f} to {value.max():5.3f}   slope up to {slope.max():.3f}"
    )
print("tanh(z) = 2 sigmoid(2 z) - 1, up to", abs(np.tanh(z) - (2 * sigmoid(2 * z) - 1)).max())

# %%
# 次に読むページ
# --------------
#
# - :doc:`fit_and_predict`: これらの関数から作られた分類器の使い方(英語)。
# - :doc:`interpret`: 分類器の係数の意味(英語)。
# - :doc:`/objective`: 学習で最小化する関数と、そのアルゴリズム(英語)。
# - :doc:`/gallery/labels/temperature` 、 :doc:`/gallery/labels/distillation`:
#   実際のデータと温度(英語)。
