"""What a run leaves when a part of its end fails: its network, its metrics, and what is missing."""

import errno
import itertools
import json
import re
import shutil

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger

from compression.latency import Latency
from lightning_modules.config import named_run
from lightning_modules.config.check import check
from lightning_modules.config.command_line import expand
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation import metrics as metrics_module
from lightning_modules.experiment import ending, experiment
from lightning_modules.experiment import results as module
from lightning_modules.experiment.ending import NOT_YET
from lightning_modules.experiment.experiment import run_experiment
from lightning_modules.experiment.latency_plan import LatencyPlan
from lightning_modules.networks import load_network
from lightning_modules.runs import METRICS_FILE, read_metrics, trained_on
from scripts.evaluate import evaluate_run
from tests.conftest import ROOT, draw_folder
from tests.lightning_modules.runs.documented import undocumented

SLOW, FAST = pytest.mark.slow, ("latency", "pictures", "card", "report")
WORDS = [
    "data=image_folder", "data.image_size=32", "data.batch_size=6", "model.units=[1,1,1]",
    "trainer.max_epochs=1", "trainer.memory_format=contiguous", "logger=none",
    "latency.backend=eager", "+compression=svd", "compression.svd.fine_tuning.epochs=1",
    "+teacher=original", "pictures=true", "report=true",
]  # fmt: skip
PARTS = {
    "evaluation": "final_predictions",
    "agreement": "teacher_agreement",
    "latency": "add_latency",
    "score": "add_scores",
    "layers": "measure_layers",
    "pictures": "draw_pictures",
    "card": "write_card",
    "report": "write_report",
}
FALL_WITH_IT = {"evaluation": ("agreement", "pictures", "card")}  # they need the predictions
FIGURES = {
    "agreement": "val/agreement",
    "latency": "cost/latency_ms",
    "score": "score/macs",
    "evaluation": "val/calibration_error",
}
FILES = {"pictures": "figures/val_confusion.png", "card": "card.md", "report": "report.html"}


@pytest.fixture
def quick(monkeypatch):
    """Parts that take seconds, as stand-ins that leave what those leave."""
    figure = Latency(median_ms=2.0, iqr_ms=0.1, device="cpu", threads=1, batch=1, backend="eager")

    def draw(predictions, data, folder, *, name):
        path = folder / FILES["pictures"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        return [path]

    monkeypatch.setattr(metrics_module, "measure_latency", lambda n, **_: [figure] * len(n))
    monkeypatch.setattr(module, "measure_layers", lambda *_: [])
    monkeypatch.setattr(module, "draw_pictures", draw)
    monkeypatch.setattr(module, "write_report", lambda _, path, **__: path.write_text("page"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run, its words and its configuration; copies of it end again and again."""
    home = tmp_path_factory.mktemp("ends")
    words = [*WORDS, f"data.root={draw_folder(home / 'photos')}"]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OUTPUTS", "CACHE", "DATA"):
            patch.setenv(f"MODEL_DIET_{name}", str(home / name.lower()))
        cfg = composed(words)
        run = home / "run"
        (run / ".hydra").mkdir(parents=True)
        OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
        (run / ".hydra" / "overrides.yaml").write_text(json.dumps(words))
        end(cfg, run)
        yield cfg, run


def composed(words):
    from lightning_modules.runs import run_directory
    from lightning_modules.search import study

    run_directory.register_resolvers()
    study.register_sweeper_defaults()
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=words)


def end(cfg, run, **settings):
    names = {"title": "run", "group": "runs", "is_main_run": True, **settings}
    return run_experiment(cfg, run, **names)


@pytest.fixture
def trained(whole, tmp_path):
    """The same run as a kill right after its last stage leaves it: trained, without an end."""
    cfg, run = whole
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for name in ("model", "figures"):
        shutil.rmtree(copy / name)
    for name in (METRICS_FILE, "card.md", "report.html"):
        (copy / name).unlink()
    return cfg, copy


def changed(cfg, *words):
    """The configuration with other values, and keys of their own."""
    free = OmegaConf.create(OmegaConf.to_container(cfg))
    return OmegaConf.merge(free, OmegaConf.from_dotlist(list(words)))


def boom(*_, **__):
    raise RuntimeError("boom\nand more of it")


def test_a_whole_run_has_all_and_says_nothing_of_missing(whole):
    _, run = whole
    metrics = read_metrics(run)
    assert "missing" not in metrics and undocumented(metrics) == []
    assert all(figure in metrics for figure in FIGURES.values())
    assert all((run / file).is_file() for file in FILES.values())
    train, svd = metrics["steps"]
    assert "layers" in svd and "layers" not in train and "agreement" not in train
    with pytest.raises(ConfigError, match="is finished"):
        expand([f"resume={run}"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        p if p in ("latency", "pictures", "card", "report") else pytest.param(p, marks=SLOW)
        for p in PARTS
    ],
)
def test_a_part_that_fails_costs_itself_and_a_resume_adds_it(
    part, whole, trained, quick, monkeypatch, capsys
):
    cfg, run = trained
    with monkeypatch.context() as patch:
        patch.setattr(module, PARTS[part], boom)
        metrics = end(cfg, run)
    said = " ".join(capsys.readouterr().out.split())
    assert f"missing {part}: RuntimeError: boom (traceback in run.log)." in said
    assert f"resume={run}" in said and "Traceback" not in said
    assert "Traceback" in (run / "run.log").read_text()
    assert read_metrics(run) == json.loads(json.dumps(metrics))
    assert undocumented(metrics) == []
    fall = {part, *FALL_WITH_IT.get(part, ())}
    assert set(metrics["missing"]) == fall
    assert load_network(run).num_classes == 3
    assert {"val/f1", "cost/macs", "steps"} <= metrics.keys()
    absent = {name for name, figure in FIGURES.items() if figure not in metrics}
    assert absent == fall & FIGURES.keys()
    gone = {name for name, file in FILES.items() if not (run / file).is_file()}
    assert gone == fall & FILES.keys()
    words = expand([f"resume={run}"])
    assert words[-1] == "hydra.output_subdir=.hydra/resume"

    healed = end(cfg, run)
    assert "missing" not in healed and "missing" not in capsys.readouterr().out
    assert healed.keys() == read_metrics(whole[1]).keys()
    assert all((run / file).is_file() for file in FILES.values())
    assert healed["val/f1"] == metrics["val/f1"]


def test_what_is_there_stays_when_a_run_is_resumed(trained, quick, monkeypatch):
    cfg, run = trained
    with monkeypatch.context() as patch:
        patch.setattr(module, "draw_pictures", boom)
        before = end(cfg, run)
    for name in ("final_predictions", "add_latency", "measure_layers", "teacher_agreement"):
        monkeypatch.setattr(module, name, boom)  # asked for none of them
    monkeypatch.setattr(module, "draw_pictures", lambda *_, **__: [])
    before.pop("missing")
    monkeypatch.setattr(module._Parts, "predictions", {})
    assert end(cfg, run) == before


def test_the_page_names_what_is_missing(trained, monkeypatch):
    cfg, run = trained
    for name in ("measure_layers", "draw_pictures", "add_latency"):
        monkeypatch.setattr(module, name, boom)
    end(cfg, run)
    page = (run / "report.html").read_text()
    for part in ("layers", "pictures", "latency"):
        assert f"{part} is missing: RuntimeError: boom (traceback in run.log)." in page


def test_parts_that_fail_together(trained, monkeypatch):
    cfg, run = trained
    for name in PARTS.values():
        monkeypatch.setattr(module, name, boom)
    metrics = end(cfg, run)
    assert list(metrics["missing"]) == list(PARTS)
    assert load_network(run).num_classes == 3
    assert metrics["val/f1"] == metrics["steps"][-1]["after"]["val/f1"]
    assert metrics["confusion"] == {"classes": ["blue", "green", "red"]}


@pytest.mark.parametrize("where", ["log_metrics", "finalize"])
def test_a_logger_that_fails_at_the_end_costs_its_line(where, trained, quick, monkeypatch):
    cfg, run = trained
    cfg = changed(cfg, "logger.csv._target_=pytorch_lightning.loggers.CSVLogger")
    monkeypatch.setattr(CSVLogger, where, boom)
    metrics = end(cfg, run)
    assert metrics["missing"] == {"loggers": "RuntimeError: boom (traceback in run.log)."}
    assert read_metrics(run) == json.loads(json.dumps(metrics))


def test_ctrl_c_at_the_end_says_what_adds_the_rest(trained, quick, monkeypatch):
    cfg, run = trained

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "draw_pictures", stop)
    with pytest.raises(SystemExit) as stopped:
        end(cfg, run)
    assert str(stopped.value) == (
        f"interrupted; the run's results are in {run}; what is missing is added by: "
        f"python run.py resume={run}"
    )
    missing = read_metrics(run)["missing"]
    assert missing == dict.fromkeys(["pictures", "card", "loggers", "report"], NOT_YET)


def test_a_full_disk_after_the_training_keeps_network_and_metrics(trained, quick, monkeypatch):
    cfg, run = trained
    write, count = ending.write_metrics, itertools.count()

    def fills(folder, metrics):
        if next(count):
            raise OSError(errno.ENOSPC, "No space left on device", str(folder / METRICS_FILE))
        write(folder, metrics)

    monkeypatch.setattr(ending, "write_metrics", fills)
    metrics = end(cfg, run)
    assert "No space left on device): free some space." in metrics["missing"]["latency"]
    assert load_network(run).num_classes == 3
    assert read_metrics(run)["val/f1"] == metrics["val/f1"]
    monkeypatch.setattr(ending, "write_metrics", write)
    assert "missing" not in end(cfg, run)


def test_a_figure_that_is_no_number_is_missing(trained, quick, monkeypatch):
    cfg, run = trained
    monkeypatch.setattr(
        module, "teacher_agreement", lambda *_, **__: {"val/agreement": float("nan")}
    )
    metrics = end(cfg, run)
    assert list(metrics["missing"]) == ["agreement"] and "val/agreement" not in metrics


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["objective=cost/latency_ms"], "objective=cost/latency_ms needs the latency, which is"),
        (["objective=[val/f1,score/time]"], "objective=score/time needs the latency, which is"),
        (["sweep.limits.latency_ms=3"], "sweep.limits.latency_ms=3 needs the latency, which is"),
        (["compression.svd.target.latency=0.9"], "compression.svd.target.latency=0.9 needs the"),
        (["objective=val/agreement"], "objective val/agreement is missing: RuntimeError: boom"),
    ],
)
def test_what_the_command_asked_for_is_an_error(words, says, whole):
    cfg, run = whole
    missing = dict.fromkeys(["latency", "agreement"], "RuntimeError: boom")
    metrics = {k: v for k, v in read_metrics(run).items() if not k.startswith(("cost/l", "val/a"))}
    experiment._require_asked(cfg, {**metrics, "missing": missing})  # nobody asked
    cfg = changed(cfg, *words)
    with pytest.raises(SystemExit, match=re.escape(f"error: {says}")):
        experiment._require_asked(cfg, {**metrics, "missing": missing})


@pytest.fixture
def stopped(trained):
    """The same run, killed in its second stage."""
    cfg, run = trained
    (run / "steps" / "01_svd" / "result.json").unlink()
    return cfg, run


def test_a_stopped_run_is_taken_up_where_its_last_finished_stage_ends(
    stopped, quick, tmp_path, capsys, homes
):
    _, run = stopped
    stage = run / "steps" / "00_train"
    own = ["latency.backend=null", "logger=none", "report=false", "trainer.max_epochs=1",
           "trainer.memory_format=contiguous", "+compression=prune",
           "compression.prune.fine_tuning.epochs=0"]  # fmt: skip
    words = expand([f"from_run={run}", *own])
    said = capsys.readouterr().out
    assert said == f"{run} was stopped before its end; its stage 00_train is taken up.\n"
    assert words[-1] == f"from_run='{stage}'"
    cfg = composed(words)
    check(cfg)
    metrics = end(cfg, tmp_path / "next")
    (step,) = metrics["steps"]
    trained = json.loads((stage / "result.json").read_text())
    assert step["name"] == "01_prune" and step["before"]["val/f1"] == trained["after"]["val/f1"]
    assert [e.step for e in load_network(tmp_path / "next").recipe.entries] == ["prune"]
    before = trained_on(stage)
    assert before.run == run and before.is_known


def test_a_stopped_run_is_not_mistaken_for_a_finished_one(stopped):
    _, run = stopped
    stage = run / "steps" / "00_train"
    with pytest.raises(ConfigError) as refused:
        named_run(str(run), [])
    assert str(refused.value) == (
        f"{run} is not a finished run: it has no model/network.yaml; the network of its last "
        f"finished stage is {stage}, which can be given instead."
    )
    (found,) = evaluate_run(str(stage), [])
    trained = json.loads((stage / "result.json").read_text())
    assert found.metrics["f1"] == pytest.approx(trained["after"]["val/f1"], abs=1e-6)
    (stage / "result.json").unlink()  # killed in its training
    with pytest.raises(ConfigError, match="is not a finished run: .*; give the directory that a"):
        expand([f"from_run={run}", "+compression=prune"])


def test_nothing_of_a_trained_run_changes_when_it_is_resumed(trained, quick, monkeypatch):
    cfg, run = trained
    monkeypatch.setattr(module, "draw_pictures", boom)
    end(cfg, run)
    with pytest.raises(ConfigError, match=r"is trained, and lacks only pictures; leave it out"):
        expand([f"resume={run}", "trainer.max_epochs=3"])
    assert expand([f"resume={run}", "trust=[a]"]).count("trust=[a]") == 1


def test_what_is_trained_is_named_where_a_later_step_fails(stopped, quick, monkeypatch, caplog):
    cfg, run = stopped
    monkeypatch.setattr("lightning_modules.experiment.stage_run.fit", boom)
    with pytest.raises(RuntimeError, match="boom"):
        end(cfg, run)
    assert caplog.messages[-1] == (
        f"00_train is done and kept: a command with from_run={run} goes on from there"
    )
    assert not (run / METRICS_FILE).exists()


@pytest.mark.parametrize("asked", [None, "objective=cost/latency_ms"])
def test_a_latency_measured_otherwise_is_said_or_missing_where_it_was_asked_for(
    asked, trained, quick, monkeypatch, capsys
):
    cfg, run = trained
    figure = Latency(
        median_ms=2.0, iqr_ms=0.1, device="cpu", threads=1, batch=1, backend="eager",
        note="Measured in eager PyTorch, not in onnxruntime. It draws numbers.",
    )  # fmt: skip
    monkeypatch.setattr(metrics_module, "measure_latency", lambda n, **_: [figure] * len(n))
    plan = LatencyPlan("onnxruntime", "onnxruntime", 1, asked)
    monkeypatch.setattr(experiment, "_latency_plan", lambda *_, **__: plan)
    metrics = end(cfg, run)
    said = capsys.readouterr().out
    if asked is None:
        assert metrics["latency"]["instead"] == figure.note and "missing" not in metrics
        assert f"         {figure.note}" in said.splitlines()
    else:
        assert metrics["missing"] == {"latency": figure.note}
        assert "cost/latency_ms" not in metrics and "latency" not in metrics


def test_a_screen_that_fails_still_says_where_the_results_are(trained, quick, monkeypatch, caplog):
    cfg, run = trained
    monkeypatch.setattr(module, "draw_pictures", boom)
    monkeypatch.setattr(experiment, "show_closing_screen", boom)
    metrics = end(cfg, run)
    why = "RuntimeError: boom (traceback in run.log)."
    assert caplog.messages[-3:] == [
        f"The closing screen cannot be shown: {why}",
        f"results  {run}",
        f"missing  pictures: {why}",
    ]
    assert read_metrics(run) == json.loads(json.dumps(metrics))
