"""Command lines: words that Hydra composes, and those of scripts; nothing is trained."""

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from lightning_modules.config import ScriptParser, expand, value_of
from lightning_modules.config.script_arguments import OwnKey
from tests.fuzz.run_targets import prepare_runs, run_checks
from tests.fuzz.target import Target

GROUPS = (
    "model", "data", "augment", "mixing", "teacher", "distillation", "compression", "loss",
    "auxiliary", "optimizer", "scheduler", "trainer", "callbacks", "logger", "sweep", "experiment",
    "debug", "hydra/launcher", "hydra/sweeper", "hydra/job_logging",
)  # fmt: skip
OPTIONS = (
    "mnasnet", "rows", "custom", "synthetic", "taco", "image_folder", "csv", "tucker", "prune",
    "[prune,tucker]", "[tucker,quantize]", "original", "efficientnet_b4", "arcface", "focal",
    "adamw", "cosine", "cpu", "none", "demo", "ema", "basic", "joblib", "optuna", "architecture",
    "_base", "../config", "blocks/squeezenet_like", "nothing", "", "null", "[]", "[a", "a b",
    "/etc/passwd", "a,b", "glob(*)", "${x}", "x" * 400,
)  # fmt: skip
KEYS = (
    "seed", "trainer.max_epochs", "data.image_size", "data.batch_size", "data.num_workers",
    "data.root", "data.source.root", "data.source.scenes", "data.split.val_fraction",
    "data.exclude",
    "data.split.file", "data.fold", "data.num_folds", "model.name", "model._target_",
    "model.blocks",
    "model.units", "model.weights", "model.pretrained", "model.input_size", "model.mean",
    "optimizer.lr", "optimizer._target_", "scheduler.warmup_epochs", "loss._target_",
    "compression.prune.ratio", "compression.tucker.rank", "compression.tucker.target",
    "compression.tucker.target.macs", "compression.prune", "teacher.a.run", "teacher.a.model",
    "teacher_policy", "from_run", "resume", "trust", "objective", "limits", "latency.backend",
    "latency.threads", "score.macs", "hydra.run.dir", "hydra.sweep.dir", "hydra.output_subdir",
    "hydra.job.chdir", "hydra.searchpath", "hydra.sweeper.n_trials", "hydra.sweeper.params",
    "hydra.sweeper.storage", "sweep.parallel", "sweep.params", "outputs_dir", "cache_dir", "logger",
    "callbacks.ema.decay", "augment._target_", "augment.backend", "mixing.alpha", "data.name",
    "data.train_on_all", "trainer.keep", "trainer.devices", "trainer.precision", "pictures",
    "report", "a.b", "", ".", "a..b", "a[0]", "data.source._target_", "no.such.key", "hydra",
    "data",
)  # fmt: skip
VALUES = (
    "1", "0", "-1", "1e9", "1e400", "-1e400", "nan", "inf", "0.5", "true", "null", "", "''", '""',
    "[1,2]", "[]", "{}", "{a:1}", "{a:{b:[1,{c:2}]}}", "[[[[1]]]]", "1,2", "choice(1,2)",
    "choice('ok','nan')", "range(1,3)", "range(1,99999999999)", "interval(0,1)", "interval(1,0)",
    "glob(*)", "tag(x,choice(1,2))", "shuffle(1,2)", "sort(2,1)", "int(x)", "float(1)", "str(1)",
    "${seed}", "${no.such}", "${oc.env:HOME}", "${oc.env:NO_SUCH}", "${now:%Y}", "${seed",
    "${${seed}}", "${model}", "${.}", "${oc.decode:'1'}", "${oc.create:{a:1}}", "???", "a b",
    "a'b",
    'a"b', "a=b", "a:b", "é", "\x00", "\ud800", "\n", "\\", "\\,", "\\'", "$", "`x`",
    "$(touch ran)",
    "7" * 5000, "x" * 5000, "[" * 3000, "{a:" * 300, "(" * 200, "~", "/", ".", "..", "/etc/passwd",
    "/dev/zero", "/proc/self/mem", "a/b.yaml", "os.system", "{_target_:os.system}", "macs",
    "{macs:0.5}", "{macs:2}", "{macs:nan}", "{latency:0.6}", "trained", "last", "no_such_run",
    "lightning_modules.networks.zoo.torchvision_network", "datamodules.sources.synthetic.Synthetic",
    "builtins.print", "subprocess.run", "torch.nn.Identity", "7777777777777777777", "0x10", "1_000",
    "!!python/object/apply:os.system ['touch ran']", "sqlite:///x.db", "postgresql://u:p@h/d",
)  # fmt: skip
SIGNS = ("", "", "", "", "+", "++", "~", "@", "-", "--", "+ ", " ")
FLAGS = (
    "-m", "--multirun", "--cfg", "job", "-c", "--config-dir", "--config-dir=.", "--config-dir=/no",
    "--config-name=x", "--config-path=y", "--package", "-p", "-cd", "--info", "--resolve", "--help",
    "-h", "--hydra-help", "--version", "--", "-", "---", "-x", "--run", "--experimental-rerun",
)  # fmt: skip


@st.composite
def words(draw: Any) -> str:
    """One word of a command line."""
    match draw(st.sampled_from(("value", "value", "value", "group", "flag", "text"))):
        case "value":
            text = draw(st.sampled_from(VALUES) | st.text(max_size=12))
            key = draw(st.sampled_from(KEYS))
            return (
                draw(st.sampled_from(SIGNS))
                + key
                + draw(st.sampled_from(("=", "=", "=", "")))
                + text
            )
        case "group":
            group, option = draw(st.sampled_from(GROUPS)), draw(st.sampled_from(OPTIONS))
            at = draw(st.sampled_from(("", "", "", "@x", "@_global_", "@model")))
            return f"{draw(st.sampled_from(SIGNS))}{group}{at}={option}"
        case "flag":
            return draw(st.sampled_from(FLAGS))
    return draw(st.text(max_size=20))


COMMANDS = st.lists(words(), min_size=1, max_size=4)


def read_command(folder: Path, command: list[str]) -> None:
    """As far as torch is not needed: expanded, composed, checked."""
    run_checks(command)


def read_words(folder: Path, command: list[str]) -> None:
    """Only expanded: what is before Hydra."""
    expand(list(command))


def read_script(folder: Path, command: list[str]) -> None:
    """As scripts take their command lines apart; argparse ends with the code 2."""
    parser = ScriptParser(
        description="x", usage="RUN", keys={"images": OwnKey("N", "how many", "8")}
    )
    try:
        typed = parser.parse([word for word in command if word not in ("-h", "--help")])
    except SystemExit as end:
        if end.code == 2:  # its own sentence is printed
            raise SystemExit("error: argparse refused it.") from None
        raise
    value_of("images", typed.own["images"])


TARGETS = [
    Target("command lines", COMMANDS, read_command, prepare_runs, weight=4),
    Target("words before Hydra", COMMANDS, read_words, prepare_runs, weight=2),
    Target("words of scripts", COMMANDS, read_script, prepare_runs),
]
