"""The command in a warning of leakage audits the very data of the run."""

from omegaconf import OmegaConf

from lightning_modules.runs import data as module
from lightning_modules.runs.data import audit_command


class FakeHydra:
    """What a run started by `run.py model=x data=taco ...` knows of its command line."""

    @staticmethod
    def initialized():
        return True

    @staticmethod
    def get():
        words = ["model=x", "++data.root=my images", "data.image_size=[32,40]", "seed=1"]
        return OmegaConf.create(
            {"overrides": {"task": words}, "runtime": {"choices": {"data": "taco"}}}
        )


def test_words_of_a_run(monkeypatch):
    monkeypatch.setattr(module, "HydraConfig", FakeHydra)
    assert audit_command(OmegaConf.create({})) == (
        "python scripts/audit_data.py data=taco '++data.root=my images' 'data.image_size=[32,40]'"
    )


def test_words_of_a_script(compose_config):
    cfg = compose_config("data=image_folder", "data.root=photos")
    assert audit_command(cfg) == "python scripts/audit_data.py data=image_folder data.root=photos"
