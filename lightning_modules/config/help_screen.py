"""What `python run.py --help` prints: every group with its options, and commands to copy.

Hydra's own help composes the configuration of each option only to list its name, which takes
seconds where there are many; the files' names say the same.
"""

from pathlib import Path

TEXT = """\
Model Diet trains, distils, compresses and searches small image classifiers.

Groups: choose with group=option
{groups}

Examples
  python run.py                                      demo data, no download, no account
  python run.py model=mnasnet data=taco              train on TACO
  python run.py model=timm model.name=resnet50d      any network of timm
  python run.py data=image_folder data.root=photos   train on your own images
  python run.py '+teacher=[shufflenet_g3,resnet18]'  distil from two teachers
  python run.py +compression=tucker                  train, factorise, fine-tune
  python run.py +compression=tucker from_run=last    compress the newest finished run
  python run.py -m hydra/sweeper=optuna              search hyper-parameters
  python run.py -m hydra/sweeper=optuna sweep=architecture sweep.limits.macs=5e5
  python run.py resume=last                          continue an interrupted run

Any key can be changed: python run.py trainer.max_epochs=10 optimizer.lr=1e-3
All keys and values:    python run.py --cfg job
Hydra's own flags:      python run.py --hydra-help
"""


def help_screen(conf: Path) -> str:
    """The text, with the groups and options that `conf` holds."""
    rows = []
    for group in sorted(path for path in conf.iterdir() if path.is_dir()):
        names = sorted(str(p.relative_to(group).with_suffix("")) for p in group.rglob("*.yaml"))
        plus = "+" if group.name in ("teacher", "compression") else " "
        rows.append(f" {plus}{group.name:<13} {', '.join(names)}")
    return TEXT.format(groups="\n".join(rows))
