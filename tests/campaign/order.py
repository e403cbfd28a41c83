"""What one run of the campaign is told, and the rows that come of it."""

import json
from dataclasses import asdict, dataclass

from tests.campaign.scenarios import SCENARIOS, Scenario

SEEDS = 4  # of the runs of a scenario: so few that one reference serves several of them


@dataclass(frozen=True)
class Order:
    """What one run is to be.

    Attributes:
        number: Of the run; with the seed it decides everything.
        seed: Of the campaign.
        scenario: Its place in `SCENARIOS`.
        kinds: That may be drawn.
        work: Folder of the campaign.
        images: Folder with the materials.
        disk: Whether homes are disks of their own.
    """

    number: int
    seed: int
    scenario: int
    kinds: list[str]
    work: str
    images: str
    disk: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def what(self) -> Scenario:
        return SCENARIOS[self.scenario]

    @property
    def turn(self) -> int:
        """How often the scenario was there before."""
        return self.number // len(SCENARIOS)

    @property
    def workers(self) -> int:
        """Processes that load the images."""
        return self.what.workers[self.turn % len(self.what.workers)]

    @property
    def training_seed(self) -> int:
        """The run's `seed=`."""
        return 100 * self.seed + self.turn % SEEDS


@dataclass
class Row:
    """One kill, as the CSV has it; `docs/survival.md` says what the columns mean."""

    run: int
    kill: int
    scenario: str
    seed: int
    workers: int
    kind: str
    start: str = "warm"
    moment: str = ""
    progress: str = ""
    means: str = ""
    code: int = 0
    dying: float = 0.0
    said: str = ""
    processor: float = 0.0
    lost: str = ""
    unequal: str = ""
