"""What the server answers, with a schema. Points are image pixels, (x, y), pixel centres at +0.5; boxes are xyxy."""

from pydantic import BaseModel, Field


class PoseAnswer(BaseModel):
    """One person. Every joint has its best guess, also where it is not present."""

    keypoints: list[tuple[float, float]] = Field(description="(K, 2) image pixels, a pixel's centre at +0.5")
    scores: list[float] = Field(description="(K,) in 0..1, how sure the network is of each joint")
    present: list[bool] = Field(description="(K,) whether the joint's score reaches the threshold")
    box: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2: what was looked into")
    score: float = Field(description="of the person, in 0..1: the mean of the joints that are present")


class PredictAnswer(BaseModel):
    """The people in a photograph: one for each box, in their order."""

    width: int = Field(description="pixels, of the photograph turned upright by its EXIF orientation")
    height: int
    poses: list[PoseAnswer]
    threshold: float
    runtime: str = Field(description="what ran the network")
    milliseconds: float = Field(description="for decoding the photograph and looking at it, without waiting")


class HeatmapAnswer(BaseModel):
    """The heatmaps of one person after each of S stacks of the network."""

    stacks: int
    shape: tuple[int, int] = Field(description="h, w of a heatmap, cells")
    image_from_map: list[list[float]] = Field(description="(2, 3) affine: cells, centres at +0.5, to image pixels")
    peaks: list[list[float]] = Field(description="(S, K) the largest value of each map")
    keypoints: list[list[tuple[float, float]]] = Field(description="(S, K, 2) where each stack sees each joint")
    scores: list[list[float]] = Field(description="(S, K)")
    maps: str = Field(description="base64 of S x K x h x w bytes: each map over its own peak, times 255")
    milliseconds: float


class SkeletonAnswer(BaseModel):
    """K joints, and what is drawn between them."""

    name: str
    joints: list[str]
    sides: list[str] = Field(description="(K,) left, right or middle")
    edges: list[tuple[int, int]]
    edge_sides: list[str]


class ModelAnswer(BaseModel):
    """The model behind the server."""

    version: str = Field(description="of sandglass")
    name: str
    runtime: str
    network: str
    stacks: int
    size: tuple[int, int] = Field(description="w, h of the crop that the network sees, pixels")
    threshold: float
    skeleton: SkeletonAnswer
    facts: dict[str, str | int | float] = Field(description="of the training, where they are known")
    colours: dict[str, str] = Field(description="of the sides; `people` apart, they tell neighbours from each other")
    people: list[str]
    upload_bytes: int = Field(description="the largest request")
    pixels: int = Field(description="the largest photograph")
    boxes: int = Field(description="the most boxes in one request")


class Health(BaseModel):
    """Whether the server is there, and how busy."""

    status: str
    waiting: int
    seats: int


class Example(BaseModel):
    """A drawn photograph to try the page with, and the boxes of the people in it."""

    url: str
    title: str
    width: int
    height: int
    boxes: list[tuple[float, float, float, float]]


class Problem(BaseModel):
    """Every answer that is no success: one line."""

    error: str
