"""The network is the paper's: bottleneck, shapes, cost, and a gradient for every stack."""

import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.models.hourglass import Hourglass, HourglassConfig, Residual, StackedHourglass
from sandglass.models.zoo import cost, cost_table


def network(joints=5, **options):
    torch.manual_seed(0)
    return StackedHourglass(HourglassConfig(**{"stacks": 1, "channels": 8, "depth": 2} | options), joints)


def resolutions(net, size):
    """(w, h) of what leaves every residual, from the stem to the last heatmaps."""
    seen = []
    for module in net.modules():
        if isinstance(module, Residual):
            module.register_forward_hook(lambda _, __, out: seen.append((out.shape[-1], out.shape[-2])))
    with torch.inference_mode():
        net.eval()(torch.zeros(1, 3, size[1], size[0]))
    return seen


def test_the_bottleneck_is_4x4_as_in_the_paper():
    seen = resolutions(network(depth=4), (256, 256))
    assert min(seen) == (4, 4)
    assert sorted(set(seen), reverse=True) == [(s, s) for s in (128, 64, 32, 16, 8, 4)]


def test_the_bottleneck_keeps_the_crops_aspect():
    assert min(resolutions(network(depth=4), (192, 256))) == (3, 4)


@pytest.mark.parametrize("size", [(64, 64), (192, 256), (256, 192), (48, 16)])
@pytest.mark.parametrize(
    ("joints", "options"),
    [
        (1, {}),
        (17, {"stacks": 3}),
        (68, {"growth": 6}),
        (5, {"blocks": 2, "channels": 12}),
        (5, {"depth": 1, "stem": 3}),
    ],
)
def test_a_quarter_of_the_crop_for_every_stack_and_joint(size, joints, options):
    net = network(joints, **options)
    out = net(torch.randn(2, 3, size[1], size[0]))
    assert out.shape == (2, options.get("stacks", 1), joints, size[1] // 4, size[0] // 4)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(
    ("stacks", "parameters", "gmac"), [(1, 3.42, 5.15), (2, 6.56, 8.34), (4, 12.84, 14.71), (8, 25.41, 27.46)]
)
def test_the_papers_network_costs_what_the_readme_says(stacks, parameters, gmac):
    with torch.device("meta"):
        net = StackedHourglass(HourglassConfig(stacks=stacks), 17)
    macs = 0

    def count(module, _, out):
        nonlocal macs
        macs += module.in_channels * module.out_channels * module.kernel_size[0] ** 2 * out.shape[2] * out.shape[3]

    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():  # a quarter of the paper's crop on each side: a sixteenth of the work
        net.to_empty(device="cpu").eval()(torch.zeros(1, 3, 64, 64))
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(parameters, abs=0.005)
    assert 16 * macs / 1e9 == pytest.approx(gmac, abs=0.005)


def test_cost_is_counted_as_by_hand():
    """One 3x3 convolution and one strided one, on a crop that is not square."""
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 4, 1, stride=2, bias=False))
    found = cost(net, (64, 32))
    assert found.parameters == 8 * 3 * 9 + 8 + 4 * 8
    assert found.gmac == pytest.approx((8 * 3 * 9 * 64 * 32 + 4 * 8 * 32 * 16) / 1e9)


def test_the_cost_table_names_its_network():
    table = cost_table((64, 128), channels=16, depth=2, joints=5)
    assert table.title == "stacked hourglass, 16 channels, depth 2, 5 joints, 64 x 128 (w x h)"
    stacks, parameters, _ = (list(column.cells) for column in table.columns)
    assert stacks == ["1", "2", "4", "8"] and parameters == sorted(parameters, key=str)
    for size in ((64, 100), (0, 0)):
        with pytest.raises(BadInput, match="must be divisible by 16"):
            cost_table(size, channels=16, depth=2, joints=5)


def test_counting_leaves_the_network_as_it_was():
    net = network().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    cost(net, (64, 64))
    assert net.training and not any(m._forward_hooks for m in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_every_stack_is_supervised_and_hears_from_the_next():
    net = network(stacks=3)
    out = net(torch.randn(4, 3, 64, 64))
    names, weights = zip(*net.named_parameters(), strict=True)
    for s in range(3):
        found = torch.autograd.grad(out[:, s].square().sum(), weights, retain_graph=True, allow_unused=True)
        reached = {name for name, g in zip(names, found, strict=True) if g is not None and g.any()}
        stacks = {name.split(".")[1] for name in reached if name.startswith("stacks.")}
        assert stacks == {str(i) for i in range(s + 1)}
        assert any(name.startswith("stem.") for name in reached)
    everything = torch.autograd.grad(out.square().sum(), weights)
    assert all(g.isfinite().all() for g in everything)


def test_maps_go_back_into_the_next_stack():
    """Re-injection: another first answer changes the second."""
    net = network(stacks=2).eval()
    crop = torch.randn(1, 3, 64, 64)
    before = net(crop)
    with torch.no_grad():
        net.stacks[0].heatmaps.bias += 1.0  # type: ignore[union-attr, operator]
    after = net(crop)
    assert (after[:, 1] - before[:, 1]).abs().max() > 1e-6


def test_upsampling_is_by_nearest_neighbour():
    """With a silent skip branch, what comes up is constant over 2 x 2 cells."""
    torch.manual_seed(0)
    hourglass = Hourglass(8, 0, 1, 1).eval()
    torch.nn.init.zeros_(hourglass.beside[0].conv3.weight)  # type: ignore[arg-type]
    x = torch.randn(1, 8, 8, 8)
    rise = hourglass(x) - x
    blocks = rise.unfold(2, 2, 2).unfold(3, 2, 2)
    assert (blocks.amax((-1, -2)) - blocks.amin((-1, -2))).max() < 1e-5 and rise.std() > 0.1


def test_the_first_answer_is_near_zero_and_the_signal_keeps_its_size():
    """He's initialisation through 8 stacks; random heatmaps would have to be unlearned first."""
    net = network(17, stacks=8, channels=32, depth=4)
    out = net(torch.randn(4, 3, 128, 128))
    for s in range(8):
        assert out[:, s].abs().max() < 0.5, s
    features = []
    net.stacks[7].features.register_forward_hook(lambda _, __, y: features.append(y.std().item()))  # type: ignore[union-attr]
    net(torch.randn(4, 3, 128, 128))
    assert 0.1 < features[0] < 10


def test_one_person_does_not_see_another():
    net = network(stacks=2).eval()
    crops = torch.randn(3, 3, 64, 64)
    whole = net(crops)
    for i in range(3):
        torch.testing.assert_close(net(crops[i : i + 1])[0], whole[i], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "depth", "nearest"),
    [((250, 256), 4, "256 x 256"), ((200, 300), 4, "192 x 320"), ((10, 1000), 3, "32 x 992"), ((0, 64), 2, "16 x 64")],
)
def test_impossible_sizes_name_the_nearest(size, depth, nearest):
    with pytest.raises(BadInput, match=f"width x height.*divisible by {4 * 2**depth} .*; try {nearest}"):
        HourglassConfig(depth=depth).check_size(size)
    HourglassConfig(depth=depth).check_size(tuple(int(s) for s in nearest.split(" x ")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"stacks": 0}, {"blocks": 0}, {"depth": 0}, {"depth": 8}, {"growth": -2}, {"channels": 6}, {"channels": 10},
        {"growth": 3}, {"stem": 4}, {"stacks": 65}, {"channels": 8192}, {"blocks": 17, "stacks": 8}, {"growth": 5000},
    ],
)  # fmt: skip
def test_impossible_networks_are_refused(options):
    with pytest.raises(BadInput):
        HourglassConfig(**options)
