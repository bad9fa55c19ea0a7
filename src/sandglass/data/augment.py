"""Augmentation: drawn first, on the host, as plain numbers; applied second, on the device, to the whole batch.

What is drawn for an example is a function of (seed, example number) alone. Points are pixels, (x, y), centres at
+0.5; a matrix is named by its journey: `cut_from_crop` carries crop points to cut points.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.skeleton import Skeleton
from sandglass.data.crops import CropConfig

Floats = NDArray[np.float64]
NOISE_BANK = 512  # side of the square of fixed noise that pictures take their grain from


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How much is drawn. All zero means the plain crop."""

    flip: float = 0.0  # probability
    rotate: float = 0.0  # degrees, to either side
    rotate_chance: float = 1.0  # probability that a person is rotated at all
    scale: float = 0.0  # 0.25: between 1/1.25 and 1.25 times as large
    shift: float = 0.0  # of the crop's side, on each axis, to either side
    half_body: float = 0.0  # probability of showing the upper or the lower body alone
    brightness: float = 0.0  # 0.2: up to 20 % of white added or taken away
    contrast: float = 0.0  # 0.2: between 1/1.2 and 1.2 times
    saturation: float = 0.0  # as contrast
    hue: float = 0.0  # degrees around the grey axis, to either side
    blur: float = 0.0  # probability of a 3x3 box blur, at a drawn strength
    noise: float = 0.0  # standard deviation of grain, of white, at most
    holes: int = 0  # rectangles painted over, at most
    hole_size: float = 0.25  # of the crop's side, at most

    def __post_init__(self) -> None:
        chances = (self.flip, self.rotate_chance, self.half_body, self.blur)
        if not all(0 <= p <= 1 for p in chances) or not all(0 <= getattr(self, f.name) < np.inf for f in fields(self)):
            raise BadInput(f"augmentation needs probabilities in 0..1 and no negative strength: {self}")


# The seed's three strengths: geometry as in its text at 'medium', and half and more around it.
STRENGTHS = {
    "none": AugmentConfig(),
    "light": AugmentConfig(flip=0.5, rotate=15, scale=0.15, brightness=0.1, contrast=0.1, saturation=0.1),
    "medium": AugmentConfig(
        flip=0.5, rotate=30, scale=0.25, brightness=0.2, contrast=0.2, saturation=0.3, hue=15,
        blur=0.2, noise=0.02, holes=1,
    ),
    "strong": AugmentConfig(
        flip=0.5, rotate=45, scale=0.35, shift=0.05, half_body=0.3, brightness=0.3, contrast=0.3, saturation=0.5,
        hue=30, blur=0.3, noise=0.04, holes=3,
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Drawn:
    """What happens to each of B people. Arrays on the host; `tensors` carries them to a device."""

    cut_from_crop: Floats  # (B, 2, 3); of a flipped person it holds the mirroring
    flip: NDArray[np.bool_]  # (B,)
    colour: Floats  # (B, 3, 4): rgb' = colour @ (r, g, b, 1), in 0..1
    blur: Floats  # (B,) share of the blurred picture, 0..1
    noise: Floats  # (B,) standard deviation of the grain, of white
    noise_at: NDArray[np.int64]  # (B, 2) corner in the noise bank
    holes: Floats  # (B, n, 4) xyxy crop pixels


def uniforms(seed: int, examples: NDArray[np.int64], count: int) -> Floats:
    """Random numbers (B, count) in [0, 1): a function of (seed, example, column), equal on every machine.

    Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (SplitMix64), OOPSLA 2014.
    """
    columns = np.arange(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        state = _mix(np.uint64(seed % 2**64) + np.uint64(0x9E3779B97F4A7C15))
        state = _mix(state ^ _mix(examples.astype(np.uint64) + np.uint64(0xD1B54A32D192ED03)))
        bits = _mix(state[:, None] + columns * np.uint64(0x9E3779B97F4A7C15))
    return (bits >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mix(z: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def draw(
    config: AugmentConfig,
    crop: CropConfig,
    skeleton: Skeleton,
    keypoints: Floats,
    weight: NDArray[np.floating],
    seed: int,
    examples: NDArray[np.int64],
) -> Drawn:
    """Draw for B people with keypoints (B, K, 2) in cut pixels and example numbers (B,)."""
    u = uniforms(seed, examples, 24 + 4 * config.holes)
    w, h = crop.size
    flip = u[:, 0] < config.flip
    angle = np.radians(config.rotate) * _signed(u[:, 1]) * (u[:, 2] < config.rotate_chance)
    zoom = (1 + config.scale) ** _signed(u[:, 3])
    centre = np.tile(np.array(crop.cut_size) / 2, (len(u), 1))
    centre, zoom = _half_body(config, crop, skeleton, keypoints, weight, u[:, 4:7], centre, zoom)
    centre = centre + _signed(u[:, 7:9]) * config.shift * np.array([w, h]) * zoom[:, None]
    return Drawn(
        cut_from_crop=_affine(centre, angle, zoom, flip, (w, h)),
        flip=flip,
        colour=_colour(config, u[:, 9:14]),
        blur=u[:, 15] * (u[:, 14] < config.blur),
        noise=config.noise * u[:, 16],
        noise_at=(u[:, 17:19] * NOISE_BANK).astype(np.int64),
        holes=_holes(config, u[:, 19:20], u[:, 24:], (w, h)),
    )


def _signed(u: Floats) -> Floats:
    return 2 * u - 1


def _affine(centre: Floats, angle: Floats, zoom: Floats, flip: NDArray[np.bool_], size: tuple[int, int]) -> Floats:
    """cut_from_crop (B, 2, 3): the crop's middle goes to `centre`, turned, `zoom` cut pixels a crop pixel."""
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    side = np.where(flip, -1.0, 1.0)
    linear = np.stack([np.stack([cos * side, -sin], -1), np.stack([sin * side, cos], -1)], 1)
    shift = centre - linear @ (np.array(size) / 2)
    return np.concatenate([linear, shift[..., None]], -1)


def _half_body(
    config: AugmentConfig, crop: CropConfig, skeleton: Skeleton, keypoints: Floats, weight: NDArray[np.floating],
    u: Floats, centre: Floats, zoom: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """For some, look at the labelled upper or lower joints alone (Wang et al. 2018, the MSRA COCO entry)."""
    if config.half_body == 0 or not skeleton.upper:
        return centre, zoom
    upper = np.isin(np.arange(len(skeleton)), skeleton.upper)
    part = np.where((u[:, 1] < 0.5)[:, None], upper, ~upper) & (weight > 0)  # (B, K)
    part = part & (keypoints >= 0).all(-1) & (keypoints < np.array(crop.cut_size)).all(-1)
    chosen = (u[:, 0] < config.half_body) & (part.sum(1) >= 3)
    low = np.where(part[..., None], keypoints, np.inf).min(1, initial=np.inf)
    high = np.where(part[..., None], keypoints, -np.inf).max(1, initial=-np.inf)
    low, high = (np.where(chosen[:, None], edge, 0.0) for edge in (low, high))
    wanted = (1.5 + 0.5 * u[:, 2]) * ((high - low) / np.array(crop.size)).max(1)  # cut pixels a crop pixel
    return (
        np.where(chosen[:, None], (low + high) / 2, centre),
        np.where(chosen, np.clip(wanted, 0.4, 1.2) * zoom, zoom),
    )


_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601 luma


def _colour(config: AugmentConfig, u: Floats) -> Floats:
    """Hue, saturation, contrast and brightness as one (B, 3, 4) matrix."""
    hue = np.radians(config.hue) * _signed(u[:, 0])
    saturation = (1 + config.saturation) ** _signed(u[:, 1])
    contrast = (1 + config.contrast) ** _signed(u[:, 2])
    brightness = config.brightness * _signed(u[:, 3])
    matrix = contrast[:, None, None] * (_saturate(saturation) @ _turn_hue(hue))
    offset = 0.5 * (1 - contrast) + brightness
    return np.concatenate([matrix, np.broadcast_to(offset[:, None, None], (len(u), 3, 1))], -1)


def _saturate(s: Floats) -> Floats:
    grey = np.tile(_GREY, (3, 1))
    return s[:, None, None] * np.eye(3) + (1 - s)[:, None, None] * grey


def _turn_hue(angle: Floats) -> Floats:
    """Rotations (B, 3, 3) of RGB about the grey axis (Rodrigues)."""
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return cos * np.eye(3) + sin * cross + (1 - cos) * np.full((3, 3), 1 / 3)


def _holes(config: AugmentConfig, number: Floats, u: Floats, size: tuple[int, int]) -> Floats:
    corner = u.reshape(len(u), config.holes, 4)
    extent = corner[..., 2:] * config.hole_size * np.array(size)
    middle = corner[..., :2] * np.array(size)
    extent = extent * (np.arange(config.holes) < np.ceil(number * (config.holes + 1)) - 1)[..., None]
    return np.concatenate([middle - extent / 2, middle + extent / 2], -1)


def move(
    drawn: Drawn, keypoints: Floats, weight: NDArray[np.floating], skeleton: Skeleton
) -> tuple[Floats, NDArray[np.floating]]:
    """Keypoints (B, K, 2) from cut to crop pixels, and their weight; left and right change names in a mirror."""
    moved = geometry.apply(geometry.invert(drawn.cut_from_crop), keypoints)
    twin = np.where(drawn.flip[:, None], np.array(skeleton.mirror), np.arange(len(skeleton)))
    return np.take_along_axis(moved, twin[..., None], 1), np.take_along_axis(np.asarray(weight), twin, 1)


@dataclass(frozen=True, eq=False)
class Batch:
    """B people on their way into the network. `Drawn` has already been applied to the points, not yet to the cuts."""

    cuts: Tensor  # (B, H, W, 3) uint8
    keypoints: Tensor  # (B, K, 2) crop pixels
    weight: Tensor  # (B, K)
    grid: Tensor  # (B, 2, 3) cut_from_crop
    colour: Tensor  # (B, 3, 4)
    blur: Tensor  # (B,)
    noise: Tensor  # (B,)
    noise_at: Tensor  # (B, 2)
    holes: Tensor  # (B, n, 4)
    index: Tensor  # (B,) rows in the data

    @classmethod
    def of(
        cls, cuts: NDArray[np.uint8], keypoints: Floats, weight: NDArray[np.floating], drawn: Drawn,
        index: NDArray[np.int64],
    ) -> "Batch":  # fmt: skip
        """Host arrays as tensors; keypoints and weight as `move` gives them."""
        parts = (keypoints, weight, drawn.cut_from_crop, drawn.colour, drawn.blur, drawn.noise)
        floats = (torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in parts)
        points, weights, grid, colour, blur, noise = floats
        image, noise_at, rows = (torch.from_numpy(part) for part in (cuts, drawn.noise_at, index))
        holes = torch.from_numpy(drawn.holes.astype(np.float32))
        return cls(image, points, weights, grid, colour, blur, noise, noise_at, holes, rows)

    def pinned(self) -> "Batch":
        """In memory that a GPU copies from by itself. It costs time: a thread's that nobody waits for."""
        return Batch(*(getattr(self, f.name).pin_memory() for f in fields(self)))

    def to(self, device: torch.device) -> "Batch":
        """On the device, without waiting for the copies (from a GPU's side: where the batch is pinned)."""
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def __len__(self) -> int:
        return len(self.cuts)


class Painter:
    """Cuts (B, H, W, 3) uint8 -> normalised crops (B, 3, h, w), channels-last, by one resampling for the batch.

    resident: all cuts (N, H, W, 3) of the data where they live on the device; batches then come without pixels.
    """

    def __init__(
        self,
        config: AugmentConfig,
        size: tuple[int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self.config, self.size = config, size
        self.resident: Tensor | None = None
        self.mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self.scale = 1 / torch.tensor(std, device=device).view(1, 3, 1, 1)
        grain = np.random.Generator(np.random.PCG64(0)).standard_normal((NOISE_BANK, NOISE_BANK), np.float32)
        self.grain = torch.from_numpy(grain).to(device)

    def __call__(self, batch: Batch) -> Tensor:
        cuts = batch.cuts if self.resident is None else self.resident.index_select(0, batch.index)
        crops = resample(cuts, batch.grid, self.size)
        if self.config.brightness or self.config.contrast or self.config.saturation or self.config.hue:
            crops = recolour(crops, batch.colour)
        if self.config.blur:
            crops = torch.lerp(crops, F.avg_pool2d(crops, 3, 1, 1, count_include_pad=False), _each(batch.blur))
        if self.config.noise:
            crops += self._noise(batch.noise_at) * _each(batch.noise)
        crops = crops.clamp_(0, 1).sub_(self.mean).mul_(self.scale)
        crops = punch(crops, batch.holes) if self.config.holes else crops
        return crops.contiguous(memory_format=torch.channels_last)  # grid_sample does not keep it on every device

    def _noise(self, corner: Tensor) -> Tensor:
        """The grain (B, 1, h, w) that begins at each corner (B, 2) of the bank, which repeats."""
        w, h = self.size
        columns = (corner[:, :1] + torch.arange(w, device=corner.device)) % NOISE_BANK
        rows = (corner[:, 1:] + torch.arange(h, device=corner.device)) % NOISE_BANK
        return self.grain[rows[:, :, None], columns[:, None, :]][:, None]


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def resample(cuts: Tensor, cut_from_crop: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear crops (B, 3, h, w) in 0..1 of cuts (B, H, W, 3) uint8; black outside the cut."""
    (w, h), (rows, columns) = size, cuts.shape[1:3]
    # grid_sample counts from -1 to 1 between the outer edges of the outer pixels.
    unit_from_crop = cut_from_crop * (2 / cut_from_crop.new_tensor([columns, rows]))[:, None]
    x = torch.arange(w, device=cuts.device)[:, None] + 0.5
    y = torch.arange(h, device=cuts.device)[:, None] + 0.5
    along = x * unit_from_crop[:, None, :, 0]  # (B, w, 2)
    down = y * unit_from_crop[:, None, :, 1] + (unit_from_crop[:, None, :, 2] - 1)  # (B, h, 2)
    grid = along[:, None] + down[:, :, None]  # F.affine_grid says the same in four times the time
    image = cuts.permute(0, 3, 1, 2).to(torch.float32)  # channels-last as it lies
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False).mul_(1 / 255)


def recolour(crops: Tensor, colour: Tensor) -> Tensor:
    """Each crop (B, 3, h, w) through its own colour matrix (B, 3, 4)."""
    red, green, blue = crops.unbind(1)
    out = torch.empty_like(crops)  # keeps channels-last
    for c in range(3):
        plane = torch.addcmul(colour[:, c, 3, None, None], red, colour[:, c, 0, None, None], out=out[:, c])
        plane.addcmul_(green, colour[:, c, 1, None, None]).addcmul_(blue, colour[:, c, 2, None, None])
    return out


def punch(crops: Tensor, holes: Tensor) -> Tensor:
    """Paint rectangles (B, n, 4), xyxy crop pixels, with the mean colour (0 after normalisation)."""
    h, w = crops.shape[-2:]
    x = torch.arange(w, device=crops.device) + 0.5
    y = torch.arange(h, device=crops.device) + 0.5
    in_x = (x >= holes[..., 0:1]) & (x < holes[..., 2:3])  # (B, n, w)
    in_y = (y >= holes[..., 1:2]) & (y < holes[..., 3:4])
    covered = (in_y[..., :, None] & in_x[..., None, :]).any(1, keepdim=True)
    return crops.masked_fill_(covered, 0.0)
