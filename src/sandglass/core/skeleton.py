"""Skeletons: the named joints of a body, the edges drawn between them, and each joint's mirror twin."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandglass.core.errors import BadInput

# Words that name a side: English, Dutch, German, French, Spanish, Italian, Portuguese, Swedish.
_LEFT = (
    "left", "l", "lt", "links", "linker", "linke", "linkes", "gauche", "izquierdo", "izquierda", "izq", "sinistro",
    "sinistra", "esquerdo", "esquerda", "vänster",
)  # fmt: skip
_RIGHT = (
    "right", "r", "rt", "rechts", "rechter", "rechte", "rechtes", "droite", "droit", "derecho", "derecha", "der",
    "destro", "destra", "direito", "direita", "höger",
)  # fmt: skip
_SIDES: dict[str, str] = {**dict.fromkeys(_LEFT, "l"), **dict.fromkeys(_RIGHT, "r")}
_GLUED = {word: side for word, side in _SIDES.items() if len(word) == 1 or len(word) > 3}  # no "der" in "shoulder"
_SWAPPED = str.maketrans("lr", "rl")

DEFAULT_SIGMA = 0.07  # of a joint without a measured one: the middle of COCO's body joints (0.062 ... 0.107)
MAX_JOINTS = 1024  # skeletons come from untrusted files


@dataclass(frozen=True)
class Skeleton:
    """K named joints and what is known about them.

    joints: K names, all different.
    edges: pairs of joint indices, drawn as limbs.
    mirror: K indices; `mirror[k]` is the joint that k becomes in a mirror (itself, on the midline).
    sigmas: K per-joint OKS constants, in units of sqrt(area) (COCO's `kpt_oks_sigmas`).
    upper: the joints above the waist, for half-body augmentation; empty where that has no meaning.

    Raises BadInput when the parts do not fit together.
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    mirror: tuple[int, ...]
    sigmas: tuple[float, ...]
    upper: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        k = len(self.joints)
        if not 0 < k <= MAX_JOINTS:
            raise BadInput(f"skeleton '{self.name}' has {k} joints; give between 1 and {MAX_JOINTS}")
        if len(set(self.joints)) != k:
            twice = sorted({j for j in self.joints if self.joints.count(j) > 1})
            raise BadInput(f"skeleton '{self.name}' names {twice} more than once; joint names must differ")
        if not all(len(edge) == 2 and all(0 <= end < k for end in edge) for edge in self.edges):
            raise BadInput(f"skeleton '{self.name}' has an edge outside its joints 0..{k - 1}")
        if len(self.mirror) != k or any(not 0 <= m < k or self.mirror[m] != i for i, m in enumerate(self.mirror)):
            raise BadInput(f"skeleton '{self.name}': mirroring twice must give back every one of the {k} joints")
        if len(self.sigmas) != k or not all(0 < s < 10 for s in self.sigmas):
            raise BadInput(f"skeleton '{self.name}' needs {k} positive OKS sigmas, got {list(self.sigmas)}")
        if not all(0 <= j < k for j in self.upper):
            raise BadInput(f"skeleton '{self.name}': `upper` names a joint outside 0..{k - 1}")

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Each left/right pair once, as joint indices."""
        return tuple((i, m) for i, m in enumerate(self.mirror) if i < m)

    def side(self, joint: int) -> str:
        """'left', 'right' or 'middle': by its name where that tells, else by the order within its pair."""
        if self.mirror[joint] == joint:
            return "middle"
        twin = dict(_forms(self.joints[self.mirror[joint]]))
        for rest, sides in _forms(self.joints[joint]):
            if set(sides) in ({"l"}, {"r"}) and twin.get(rest, sides.translate(_SWAPPED)) != sides:
                return "left" if "l" in sides else "right"
        return "left" if joint < self.mirror[joint] else "right"

    def find(self, name: str) -> int | None:
        """The index of the joint called `name`, or None."""
        return self.joints.index(name) if name in self.joints else None

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, for JSON; `from_dict` gives the skeleton back."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "edges": [list(edge) for edge in self.edges],
            "mirror": list(self.mirror),
            "sigmas": list(self.sigmas),
            "upper": list(self.upper),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Skeleton":
        """A skeleton from parsed JSON or TOML. Only `joints` is needed.

        Edges may name joints or count from 0. The mirror is inferred from the names (left/right, l/r) unless it is
        given: K indices, or pairs of joints, all others being their own twins. Sigmas are K numbers, or a table by
        joint; they default to 0.07. Raises BadInput.
        """
        try:
            joints = tuple(str(joint) for joint in data["joints"])
            index = {joint: i for i, joint in enumerate(joints)}
            edges = tuple((_joint(a, index), _joint(b, index)) for a, b in data.get("edges", ()))
            mirror = _mirror(data["mirror"], index) if "mirror" in data else infer_mirror(joints)
            sigmas = _sigmas(data.get("sigmas", {}), index)
            upper = tuple(_joint(j, index) for j in data.get("upper", ()))
            return cls(str(data.get("name", "custom")), joints, edges, mirror, sigmas, upper)
        except BadInput:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"not a skeleton ({type(error).__name__}: {error}); it needs a list `joints`") from None


def _joint(value: Any, index: Mapping[str, int]) -> int:
    if isinstance(value, str):
        if value not in index:
            raise BadInput(f"skeleton names a joint '{value}' that is not among its joints {list(index)}")
        return index[value]
    return int(value)


def _mirror(given: Any, index: Mapping[str, int]) -> tuple[int, ...]:
    if given and all(isinstance(part, int) for part in given):
        return tuple(given)
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in given):
        raise TypeError("`mirror` is neither one index a joint nor a list of pairs")
    mirror = list(range(len(index)))
    for pair in given:
        a, b = (_joint(part, index) for part in pair)
        if not all(0 <= part < len(mirror) and mirror[part] == part for part in (a, b)):
            raise BadInput(f"the skeleton's mirror pairs {list(pair)}, of which one is no joint or has a twin already")
        mirror[a], mirror[b] = b, a
    return tuple(mirror)


def _sigmas(given: Any, index: Mapping[str, int]) -> tuple[float, ...]:
    if not isinstance(given, Mapping):
        return tuple(float(s) for s in given)
    named = {_joint(joint, index): float(s) for joint, s in given.items()}
    return tuple(named.get(i, DEFAULT_SIGMA) for i in range(len(index)))


_BOUNDARY = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])")


def words(name: str) -> tuple[str, ...]:
    """A joint's name in lower-case words: "LeftEye", "left_eye" and "left eye" are the same."""
    return tuple(word.lower() for word in _BOUNDARY.split(name) if word)


def _forms(name: str) -> list[tuple[str, str]]:
    """The ways to read a name as a thing with sides: (the name with * for each side, the sides as a string of l, r).

    A word of its own tells ("left_eye", "l-eye", "LeftEye"); only a name without one is tried as glued ("lefteye",
    "eyel"): those are guesses, which count where the twin is there too.
    """
    parts = words(name)
    sides = "".join(_SIDES.get(part, "") for part in parts)
    if sides:
        return [(" ".join("*" if part in _SIDES else part for part in parts), sides)]
    whole = " ".join(parts)
    glued = [("*" + whole.removeprefix(word), side) for word, side in _GLUED.items() if whole.startswith(word)]
    return glued + [(whole.removesuffix(word) + "*", side) for word, side in _GLUED.items() if whole.endswith(word)]


def infer_mirror(joints: Iterable[str]) -> tuple[int, ...]:
    """The twin of each joint, from its name: 'left_eye' <-> 'right_eye'; a joint without one twin is its own."""
    forms = [_forms(joint) for joint in joints]
    called: dict[tuple[str, str], list[int]] = {}
    for i, readings in enumerate(forms):
        for reading in set(readings):
            called.setdefault(reading, []).append(i)

    def twin(i: int) -> int:
        for rest, sides in forms[i]:
            others = called.get((rest, sides.translate(_SWAPPED)), [])
            if len(others) == len(called[rest, sides]) == 1:
                return others[0]
        return i

    twins = [twin(i) for i in range(len(forms))]
    return tuple(twin if twins[twin] == i else i for i, twin in enumerate(twins))


def one_sided(skeleton: Skeleton) -> tuple[str, ...]:
    """The joints whose names tell a side, but that the skeleton gives no twin: most likely misspelt."""
    sided = (i for i, joint in enumerate(skeleton.joints) if any(part in _SIDES for part in words(joint)))
    return tuple(skeleton.joints[i] for i in sided if skeleton.mirror[i] == i)


_COCO_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

COCO17 = Skeleton(
    name="coco17",
    joints=_COCO_JOINTS,
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
        (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    mirror=infer_mirror(_COCO_JOINTS),
    # cocodataset.org/#keypoints-eval
    sigmas=(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
            0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    upper=tuple(range(11)),
)  # fmt: skip
