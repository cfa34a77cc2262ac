"""Which rows a version of a model has, and which promise each stands for."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sidecar.policy import categories
from sidecar.policy import model as policy_model
from sidecar.policy.actions import AUTOMATIC_ACTIONS
from sidecar.policy.model import Band, Category, Model
from training.measure.verdict import LEAST_EFFECTIVE
from training.report import rows
from training.report.gathering import Gathered
from training.report.population import Domain, Population, did_act
from training.report.rows import Row

MOST_CATEGORIES = 50
"""Rows of categories, by their decisions; a policy that lists none takes any name that a caller sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The rows.

    Attributes:
        answers: all live decisions. `acted`: those that acted.
        bands: one for each band whose decisions act.
        categories: one for each category with decisions that acted.
        cells: a band in a category, where it has a promise or bands of its own, or 30 effective labels; none
            where one category is all that there is.
        rest: what did not act, by band and final action.
        unshown: how many categories have no row, being beyond the 50 with the most decisions.
    """

    answers: Row
    acted: Row
    bands: tuple[Row, ...]
    categories: tuple[Row, ...]
    cells: tuple[Row, ...]
    rest: tuple[Row, ...]
    unshown: int


def build(gathered: Gathered, population: Population) -> Tables:
    """The rows of a population."""
    make = _maker(gathered, population)
    entry = gathered.entry
    listed = {categories.normalise(name): category for name, category in entry.categories.items()}
    apart = frozenset(
        name for name, each in listed.items() if each.promise is not None or each.bands is not None
    )
    volume: Counter[str] = Counter()
    for count in population.counts:
        if did_act(count, population.observes):
            volume[count.category] += count.n
    ranked = sorted(volume, key=lambda name: (-volume[name], name))
    shown = sorted({*ranked[:MOST_CATEGORIES], *(apart & volume.keys())})
    return Tables(
        answers=make(lambda _: True, kind="answers"),
        acted=make(lambda facet: facet.acted, kind="acted"),
        bands=tuple(
            _band(make, band, promise, apart & volume.keys()) for band, promise in _acting(entry, population)
        ),
        categories=tuple(_category(make, name, listed.get(name)) for name in shown),
        cells=tuple(_cells(make, entry, shown, listed, apart, population))
        if len(volume) > 1 or apart & volume.keys()
        else (),
        rest=tuple(_rest(make, population)),
        unshown=len(volume) - len(shown),
    )


Maker = Callable[..., Row]


def _maker(gathered: Gathered, population: Population) -> Maker:
    def make(domain: Domain, **about: object) -> Row:
        return rows.row(
            population,
            domain,
            as_of=gathered.window.as_of,
            today=gathered.window.today,
            unlabelled=gathered.unlabelled,
            **about,  # type: ignore[arg-type]
        )

    return make


def _acting(entry: Model, population: Population) -> Iterator[tuple[str, Band | None]]:
    """The bands that act under the policy, from the top, and then those that acted under an earlier one."""
    known = {band.name: band for band in entry.bands if band.action in AUTOMATIC_ACTIONS}
    yield from known.items()
    own = {band.name for each in entry.categories.values() for band in each.bands or ()}
    acted = {count.band for count in population.counts if did_act(count, population.observes)}
    for name in sorted(acted - known.keys() - own):
        yield name, None


def _band(make: Maker, name: str, band: Band | None, apart: frozenset[str]) -> Row:
    return make(
        lambda facet: facet.acted and facet.band == name and facet.category not in apart,
        kind="band",
        band=name,
        without=sorted(apart),
        edge=None if band is None else float(band.from_),
        promise=None if band is None else policy_model.promise_of(band, None),
    )


def _category(make: Maker, name: str, category: Category | None) -> Row:
    return make(
        lambda facet: facet.acted and facet.category == name,
        kind="category",
        category=name,
        promise=None if category is None else category.promise,
    )


def _cells(
    make: Maker,
    entry: Model,
    shown: list[str],
    listed: dict[str, Category],
    apart: frozenset[str],
    population: Population,
) -> Iterator[Row]:
    present = {
        (count.category, count.band) for count in population.counts if did_act(count, population.observes)
    }
    for name in shown:
        category = listed.get(name)
        for band in policy_model.bands_of(entry, category):
            if (name, band.name) not in present:
                continue
            found = make(
                lambda facet, name=name, band=band: (
                    facet.acted and facet.category == name and facet.band == band.name
                ),
                kind="cell",
                band=band.name,
                category=name,
                edge=float(band.from_),
                promise=policy_model.promise_of(band, category),
            )
            if name in apart or found.estimate.n_effective >= LEAST_EFFECTIVE:
                yield found


def _rest(make: Maker, population: Population) -> Iterator[Row]:
    present = {
        (count.band, count.action) for count in population.counts if not did_act(count, population.observes)
    }
    for name, action in sorted(present):
        yield make(
            lambda facet, name=name, action=action: (
                not facet.acted and facet.band == name and facet.action is action
            ),
            kind="rest",
            band=name,
            action=action.value,
        )
