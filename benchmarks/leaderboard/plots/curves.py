"""PSR against picture quality, over each method's strengths."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.leaderboard.curves import AT_QUALITY, Curve, points_table
from benchmarks.leaderboard.plots.style import add_note, method_looks, shorten

AXES = {"psnr": "PSNR, dB (higher is better)", "ssim": "SSIM (higher is better)", "lpips": "LPIPS (lower is better)",
        "pocket_perceptual": "pocket perceptual (lower is better)", "distance": "{} (lower is better)"}  # fmt: skip


def draw_curves(curves: list[Curve], title: str) -> Figure:
    """A panel for each quality that was measured; dotted lines mark the levels of the table at equal quality."""
    table = points_table(curves)
    qualities = [name for name in AXES if table[name].notna().any()]
    figure = Figure((4.2 * len(qualities) + 1.6, 4.6), layout="constrained")
    panels = figure.subplots(1, len(qualities), sharey=True, squeeze=False).ravel()
    looks = method_looks(table["method"].unique())
    for axes, quality in zip(panels, qualities, strict=True):
        for name, level in AT_QUALITY.values():
            if name == quality:
                axes.axvline(level, color="#9a9a9a", linewidth=0.8, linestyle=":")
        for name, own in table.groupby("method", sort=False):
            axes.plot(own[quality], 100 * own["psr"], marker=looks[name].marker, color=looks[name].color, markersize=5,
                      markeredgecolor="white", markeredgewidth=0.5, label=shorten(name))  # fmt: skip
        axes.set(xlabel=AXES[quality].format(table["distance_name"].iloc[0]), ylim=(-3, 103))
    panels[0].set_ylabel("average black-box PSR, %")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    names = {curve.name: curve.setting for curve in curves if curve.setting}
    strengths = ", ".join(f"{name}: {setting}" for name, setting in names.items())
    add_note(figure, f"Each point is a strength of its method ({strengths}).")
    return figure
