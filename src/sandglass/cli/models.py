"""`sandglass models`."""

from sandglass.cli.terminal import Size, Terminal


def run(
    size: Size = (256, 256),
    channels: int = 256,
    depth: int = 4,
    joints: int = 17,
) -> None:
    """What stacked hourglasses weigh and work: parameters and GMAC for 1, 2, 4 and 8 stacks.

    Args:
        size: Of the crop.
        channels: Width of the network.
        depth: Times that an hourglass halves its resolution.
        joints: Heatmaps a stack.
    """
    from sandglass.models.zoo import cost_table

    Terminal().print(cost_table(size, channels=channels, depth=depth, joints=joints))
