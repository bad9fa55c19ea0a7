"""`sandglass export`."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from sandglass.cli.terminal import OneSet, Terminal, bar


def run(
    model: Positional[Path],
    to: Literal["onnx", "openvino"],
    out: Path | None = None,
    flip: bool = False,
    int8: bool = False,
    half: bool = False,
    data: OneSet = "",
    people: int = 200,
    stacks: int | None = None,
    licence: str | None = None,
) -> None:
    """Write a model as one graph, from photograph and boxes to keypoints, and verify it before it is written.

    Args:
        model: A checkpoint, model.safetensors.
        to: onnx, or openvino (an .xml with its .bin).
        out: The file to write; by default the checkpoint's name, beside it, with another ending.
        flip: Average with the mirrored crop inside the graph: better, and twice the work.
        int8: Weights and activations in 8 bits, by their ranges on people of --data.
        half: Weights in 16 bits, which halves the file; what is computed stays the same.
        data: What to verify on, and to find ranges on; by default drawn people, made for the purpose.
        people: How many people of it to take at most.
        stacks: Cut the network after so many stacks.
        licence: Of the weights, as it shall stand in the file; by default what the checkpoint says.
    """
    from sandglass.evaluation.shipping import Order, ship

    console = Terminal()
    order = Order(
        model, to, out, flip=flip, int8=int8, half=half, data=data, people=people, stacks=stacks, licence=licence
    )
    with bar(console, "verifying") as progress:
        path, table = ship(order, progress)
    console.print(table)
    console.print(f"wrote {path}, and {path.name}.json, which describes it", highlight=False, soft_wrap=True)
    console.print(f"try it: sandglass predict {path} PHOTO --out FOLDER", highlight=False, soft_wrap=True)
