"""Model files spoilt in hundreds of ways: a predictor that works, or one line that refuses. In processes of their own,
so that a parser that crashes or hangs is a failed test and not the end of all.

`SANDGLASS_FUZZ=20000 pytest tests/inference/test_model_fuzz.py` tries that many files, other ones every time.
"""

import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass.core.errors import LONGEST, BadInput

FILES = int(os.environ.get("SANDGLASS_FUZZ", "700"))
SHARES = {"onnx": 0.5, "xml": 0.15, "bin": 0.05, "safetensors": 0.3}  # OpenVINO takes its time
SECONDS = 30 + FILES / 10  # for all files of a kind
WEIRD = (None, True, -1, 0, 1.5, 1e308, 10**30, float("nan"), "", "x", "../../x", [], {}, [[]], "9" * 5000)
NUMBERS = (0, -1, 1, 3, 2**31, 2**62, -(2**63))
WORDS = (b"\xff", b"\0", b"\n\x01", b"</", b"<!ENTITY a 'a'>", b'"', b"{", b"[[", b"-1", b"99999999999", b"nan")
OPERATORS = ("Loop", "If", "ConstantOfShape", "Expand", "Conv", "Relu", "Reshape", "Gather", "NoSuch", "")
PHOTO = np.random.default_rng(2).integers(0, 256, (40, 50, 3), np.uint8)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny network in every kind of file: model.onnx, .xml, .bin, .safetensors."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import torch

    from sandglass.core.skeleton import Skeleton
    from sandglass.inference.engines import installed
    from sandglass.inference.export import describe, network_graph, onnx_bytes, openvino_files, whole_graph
    from sandglass.models.checkpoint import save_checkpoint
    from sandglass.models.codec import CodecConfig
    from sandglass.models.spec import ModelSpec
    from sandglass.models.zoo import build

    folder = tmp_path_factory.mktemp("originals")
    spec = ModelSpec(
        network="hourglass",
        options={"stacks": 1, "channels": 8, "depth": 1},
        codec=CodecConfig(size=(32, 32)),
        skeleton=Skeleton.from_dict({"joints": ["left", "right", "top"], "edges": [[0, 2]]}),
    )
    torch.manual_seed(0)
    network = build(spec).eval()
    save_checkpoint(folder / "model.safetensors", network, spec, {})
    whole = whole_graph(network_graph(network, spec), spec, flip=False)
    if installed("openvino"):
        graph, constants = openvino_files(whole, describe(spec, {}))
        (folder / "model.xml").write_bytes(graph)
        (folder / "model.bin").write_bytes(constants)
    (folder / "model.onnx").write_bytes(onnx_bytes(whole, describe(spec, {})))
    return folder


@pytest.mark.parametrize("kind", SHARES)
def test_spoilt_model_files(originals: Path, tmp_path: Path, kind: str) -> None:
    if not (originals / f"model.{kind}").is_file():
        pytest.skip("OpenVINO is not installed")
    first = random.randrange(10**9) if "SANDGLASS_FUZZ" in os.environ else 0
    words = [__file__, originals, tmp_path, kind, first, max(1, int(FILES * SHARES[kind]))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment)
    said = done.stdout.splitlines()
    assert done.returncode == 0, f"{kind}: status {done.returncode} after seed {said[-1:]}\n{done.stderr[-3000:]}"
    assert {"works", "refused"} <= set(said), "files that are spoilt a little work, others do not"


def spoil(data: bytes, rng: random.Random) -> bytes:
    """The bytes after up to three changes: replaced, cut out, inserted, repeated, cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        a = rng.randrange(len(changed) + 1)
        b = min(len(changed), a + rng.choice([1, 8, 64]))
        change = rng.randrange(8)
        if change < 3:
            changed[a : a + 1] = bytes([rng.randrange(256)])
        elif change < 5:
            changed[a:a] = rng.choice(WORDS)
        elif change == 5:
            del changed[a:b]
        elif change == 6:
            changed[a:a] = changed[a:b]
        elif rng.randrange(3) == 0:
            del changed[a:]
    return bytes(changed)


def spoil_json(text: str, rng: random.Random) -> str:
    """Parsed JSON with one value replaced by what nobody expects, or taken away."""
    value = json.loads(text)
    place = value
    while isinstance(place, list | dict) and place:
        key = rng.choice(sorted(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], list | dict) or not place[key] or rng.randrange(3) == 0:
            place[key] = rng.choice(WEIRD)
            break
        place = place[key]
    return json.dumps(value)


def spoil_onnx(data: bytes, rng: random.Random) -> bytes:
    """A file that is still ONNX, with a description, a node, a number or a weight that is not what it was."""
    import onnx

    model = onnx.load_model_from_string(data)
    change = rng.randrange(8)
    if change == 0:
        (entry,) = (entry for entry in model.metadata_props if entry.key == "spec")
        entry.value = spoil_json(entry.value, rng)
    elif change == 1:
        del model.graph.node[rng.randrange(len(model.graph.node))]
    elif change == 2:
        rng.choice(model.graph.node).op_type = rng.choice(OPERATORS)
    elif change == 3:
        attributes = [part for node in model.graph.node for part in node.attribute if part.ints or part.i]
        attribute = rng.choice(attributes)
        attribute.i = rng.choice(NUMBERS)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
    elif change == 4:
        tensor = rng.choice(model.graph.initializer)
        tensor.dims.append(rng.choice(NUMBERS)) if rng.randrange(2) else tensor.ClearField("dims")
    elif change == 5:
        tensor = rng.choice(model.graph.initializer)
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif change == 6:
        node, other = rng.choice(model.graph.node), rng.choice(model.graph.node)
        if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice([*other.output, "", "nothing"])
    else:
        model.opset_import[0].version = rng.choice(NUMBERS)
    return model.SerializeToString()


def spoil_xml(data: bytes, rng: random.Random) -> bytes:
    """A file that is still XML, with a number in quotes that is not what it was."""
    import re

    places = list(re.finditer(rb'(?<=")-?\d+(?=")', data))
    place = rng.choice(places)
    return data[: place.start()] + str(rng.choice(NUMBERS)).encode() + data[place.end() :]


SPOILERS: dict[str, Callable[[bytes, random.Random], bytes]] = {"onnx": spoil_onnx, "xml": spoil_xml}


def try_all(originals: Path, folder: Path, kind: str, first: int, count: int) -> None:
    """What the process of a test does: says every seed before it is tried, and what came of it."""
    from sandglass.inference.predictor import Predictor

    warnings.simplefilter("ignore")
    for path in originals.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    spoilt, data = folder / f"model.{kind}", (originals / f"model.{kind}").read_bytes()
    asked = spoilt.with_suffix(".xml") if kind == "bin" else spoilt
    for seed in range(first, first + count):
        print(seed, flush=True)
        rng = random.Random(seed)
        spoilt.write_bytes((SPOILERS.get(kind, spoil) if seed % 2 else spoil)(data, rng))
        print(outcome(lambda: Predictor.load(asked, device="cpu", photos=1)(PHOTO)))


def outcome(look: Callable[[], Any]) -> str:
    """'works' or 'refused'; anything else is raised."""
    try:
        (pose,) = look()
    except BadInput as error:
        said = str(error)
    else:
        assert pose.keypoints.shape[1:] == (2,) and len(pose.scores) == len(pose.keypoints)
        return "works"
    assert "\n" not in said and len(said) <= LONGEST + 3, said[:5000]
    return "refused"


if __name__ == "__main__":
    try_all(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
