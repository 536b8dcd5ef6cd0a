"""Pictures of the results of the benchmark."""

import numpy as np
from contenders import CONTENDERS, OURS


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def draw(result, gaps_of_interest, path):
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    colours = dict(zip(CONTENDERS, plt.get_cmap("tab10").colors, strict=False))
    for name, points in result["points"].items():
        if not points:
            continue
        seconds = [point["seconds"] for point in points]
        gaps = [min(max(point["gap"], 1e-14), 1e2) for point in points]
        ours = name == OURS
        axes.loglog(
            seconds,
            gaps,
            "o-",
            color="black" if ours else colours[name],
            linewidth=2.5 if ours else 1.2,
            markersize=5 if ours else 3.5,
            label=name,
        )
    axes.set_ylim(5e-15, 1e2)
    for gap in gaps_of_interest:
        axes.axhline(float(gap), color="0.85", linewidth=0.8, zorder=0)
    axes.set_xlabel("seconds, one fit at each tolerance")
    axes.set_ylabel("relative objective gap")
    axes.set_title(result["description"], fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_ratios(ratios, path):
    """A bar for each case of a dict to its ratio and whether this is no mere lower bound."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
    for position, (value, is_reached) in enumerate(ratios.values()):
        if value is None:
            continue
        axes.barh(
            position,
            value - 1.0,
            left=1.0,
            color=("tab:blue" if value >= 1.0 else "tab:orange") if is_reached else "white",
            edgecolor="tab:blue" if value >= 1.0 else "tab:orange",
        )
        text = f"{value:.1f}" if is_reached else f"> {value:.1f}"
        axes.annotate(
            text, (max(value, 1.0), position), (4, 0), textcoords="offset points", va="center"
        )
    axes.set_xscale("log")
    axes.set_xlim(0.5, 400.0)
    axes.set_yticks(range(len(ratios)), list(ratios), fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1.0, color="0.3", linewidth=0.8)
    axes.set_xlabel("time of the fastest other solver / time of MaxentClassifier")
    axes.set_title("Real data, relative objective gap of 1e-6")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def exponent(sizes, seconds):
    """Slope of log seconds against log size over the larger half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)[0])


def draw_scaling(sweeps, path):
    """Time against n, d and K; the slopes for the caption."""
    plt = _pyplot()
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained", sharey=True)
    slopes = {}
    for axes, (letter, rows) in zip(panels, sweeps.items(), strict=True):
        sizes = [row["size"] for row in rows]
        for name in [name for name in rows[0] if name != "size"]:
            seconds = [row[name] for row in rows]
            slopes[letter, name] = exponent(sizes, seconds)
            axes.loglog(
                sizes,
                seconds,
                "o-",
                color="black" if name == OURS else "tab:orange",
                label=f"{name}: slope {slopes[letter, name]:.2f}",
            )
        axes.set_xlabel(letter)
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("seconds to a gap of 1e-6")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return slopes
