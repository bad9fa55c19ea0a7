"""`sandglass ceiling`."""

from sandglass.cli.terminal import OneSet, Size, Terminal


def run(
    data: OneSet,
    size: Size = (256, 256),
    sigma: float = 0.7,
    padding: float = 1.25,
) -> None:
    """What each decoder could reach at best: ground truth through encode, decode, score.

    Args:
        data: The set whose joints make the trip.
        size: Of the crop.
        sigma: Of the Gaussians, heatmap cells.
        padding: Side of the crop over side of the box: what lies beyond, no network can find.
    """
    from sandglass.data.sets import read_set
    from sandglass.evaluation.ceiling import ceiling_table

    Terminal().print(ceiling_table(read_set(data), size, sigma, padding))
