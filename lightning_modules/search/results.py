"""What a search ends with, and what `scripts/report.py STUDY` shows at any time."""

from pathlib import Path

from optuna import Study
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from lightning_modules.config import FOUND, named, write_experiment
from lightning_modules.errors import ConfigError
from lightning_modules.reporting import (
    StudyReport,
    best_table,
    result,
    show_best,
    states,
    study_pictures,
    why_nothing,
)
from lightning_modules.reporting.pictures import StudyPlots, draw_study
from lightning_modules.runs import bash_word, command, joined
from lightning_modules.search.fixed_values import given_up
from lightning_modules.search.ownership import OWNER, elsewhere
from lightning_modules.search.storage import find_study
from lightning_modules.search.trials import (
    METRICS,
    best_trials,
    record_of,
    records_of,
    trial_folder,
    write_table,
)


def winners(study: Study) -> list[FrozenTrial]:
    """The best trials, best first; of several objectives the front by rising `score/macs`."""
    best = best_trials(study)
    if len(study.directions) == 1:
        return best
    return sorted(best, key=lambda trial: trial.user_attrs.get(METRICS, {}).get("score/macs", 0.0))


def show_results(folder: Path, *, top: int = 1) -> None:
    """Prints how a study stands and its best trials; writes its table, pictures and `top` winners.

    Raises:
        ConfigError: it is no study, or no trial has a value that counts; says why.
    """
    study, about = find_study(folder)
    records = records_of(study)
    print(f"\nstudy    {study.study_name}: {states(records)}")
    for trial in elsewhere(study.get_trials(deepcopy=False)):
        owner = trial.user_attrs[OWNER]
        print(f"running  trial {trial.number}: process {owner['pid']} on {owner['host']}")
    for line in given_up(study.get_trials(deepcopy=False)):
        print(f"given up {line}")
    table = write_table(study, folder)
    best = list(map(record_of, best_trials(study)))
    if not best:
        limits = about["space"]["limits"].items()
        raise ConfigError(why_nothing(records, {k: v for k, v in limits if v is not None}))
    show_best(best, study.user_attrs["objectives"])
    pictures = draw_study(study_plots(study, about["score"]), folder)
    print(f"trials   {table}")
    if pictures:
        print(f"pictures {pictures[0].parent}: {', '.join(path.stem for path in pictures)}")
    _write_winners(study, folder, top)


def _write_winners(study: Study, folder: Path, top: int) -> None:
    """Writes the experiments of those winners whose runs lie here."""
    names = []
    for place, trial in enumerate(winners(study)[:top], start=1):
        run, word = trial_folder(folder, trial.number), "winner" if place == 1 else "and"
        if not (run / ".hydra" / "config.yaml").is_file():
            print(f"{word:8} trial {trial.number}; its run is not in {run.parent}")
            continue
        values = result(record_of(trial), study.user_attrs["objectives"]).replace("  ", ", ")
        path = write_experiment(
            joined([f"{FOUND}{study.study_name}", *([str(place)] if place > 1 else [])]),
            run,
            folder=folder,
            found={key.lstrip("+") for key in trial.params},
            about=f"Trial {trial.number} of the study {study.study_name}: {values}",
        )
        print(f"{word:8} trial {trial.number}: {path}")
        names.append(named(path))
    if names:
        chosen = bash_word(f"experiment={','.join(names)}")
        print(f"next     {command('run.py', '-m', chosen, 'seed=0,1,2')}")


def study_report(folder: Path) -> StudyReport:
    """All that a page shows of the study in a folder.

    Raises:
        ConfigError: it cannot be opened.
    """
    study, _ = find_study(folder)
    best = list(map(record_of, best_trials(study)))
    run = trial_folder(folder, winners(study)[0].number) if best else None
    return StudyReport(
        name=study.study_name,
        states=states(records_of(study)),
        best=best_table(best, study.user_attrs["objectives"]) if best else None,
        pictures=study_pictures(folder),
        winner=run if run and (run / "metrics.json").is_file() else None,
    )


def study_plots(study: Study, score: dict[str, float]) -> StudyPlots:
    """What is drawn of a study; `score` are the constants of `score/macs`."""
    trials = study.get_trials(deepcopy=False)
    laws = {name: law for trial in trials for name, law in trial.distributions.items()}
    logarithmic = {name: getattr(x, "log", "Log" in type(x).__name__) for name, x in laws.items()}
    return StudyPlots(
        name=study.study_name,
        objectives=study.user_attrs["objectives"],
        lower=[direction.name == "MINIMIZE" for direction in study.directions],
        records=records_of(study),
        categorical=frozenset(n for n, x in laws.items() if isinstance(x, CategoricalDistribution)),
        logarithmic=frozenset(n for n, log in logarithmic.items() if log),  # 2.10: by their class
        winner=next((trial.number for trial in winners(study)), None),
        score=score,
    )
