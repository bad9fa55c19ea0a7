"""All that the labels of one data set tell against it, without a look at the photographs."""

from sandglass.core.pose import People
from sandglass.data.doctor.bodies import check_bodies
from sandglass.data.doctor.finding import Finding
from sandglass.data.doctor.mirrors import check_mirror
from sandglass.data.doctor.reading import read_with_findings
from sandglass.data.doctor.sides import check_sides
from sandglass.data.sets import SetSpec


def check_set(spec: SetSpec | str) -> tuple[People, list[Finding]]:
    """The people who can be read, and the findings about them and about those who cannot. Raises BadInput where the
    file is none at all, see `read_with_findings`."""
    people, found = read_with_findings(spec)
    return people, found + check_people(people)


def check_people(people: People) -> list[Finding]:
    """Sides, mirror, limbs, duplicates, joints outside."""
    mirror = check_mirror(people)
    sides = [] if mirror else check_sides(people)  # with wrong pairs there are no sides to speak of
    return [*mirror, *sides, *check_bodies(people)]
