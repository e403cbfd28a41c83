"""A network loaded in a new process gives exactly the logits of the process that trained it."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules.distillation.teachers import freeze
from lightning_modules.experiment import initial_network
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stage_run import run_stage
from lightning_modules.experiment.stages import stages_of
from lightning_modules.runs.data import make_data
from tests.conftest import run_command

LOADER = """
import pickle, sys
import torch
from safetensors.torch import load_file, save_file
def refuse(*_, **__): raise AssertionError("unpickled")
pickle.load = pickle.loads = torch.load = refuse
from lightning_modules.networks import load_network
torch.set_num_threads(int(sys.argv[1]))
images = load_file(sys.argv[2])["images"]
for folder in sys.argv[3:]:
    network = load_network(folder)
    with torch.inference_mode():
        save_file({"logits": network(images)}, f"{folder}/logits")
    print(network.class_names, network.image_size)
"""


@pytest.mark.slow
def test_trained_and_factorised_networks_reload_exactly(homes, folder, compose_config):
    cfg = compose_config(
        "data=image_folder", f"data.root={folder}", "data.image_size=[32,40]", "data.batch_size=8",
        "model=squeezenet", "trainer.max_epochs=2", "trainer.memory_format=channels_last",
        "logger=none", "+compression=tucker",
    )  # fmt: skip
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    network = initial_network(cfg, data)
    context = RunContext(cfg, data, homes / "run")
    images = next(iter(data.val_dataloader()))[0]
    save_file({"images": images}, homes / "images")
    teachers, expected = [], {}
    for stage in stages_of(cfg):
        network, result = run_stage(stage, network, context, teachers)
        teachers = [freeze("original", copy.deepcopy(network), cfg.model)]
        with torch.inference_mode():
            expected[folder_of := homes / "run" / "steps" / stage.name] = network(images)
        assert json.loads((folder_of / "result.json").read_text()) == result
    threads = str(torch.get_num_threads())
    done = run_command("-c", LOADER, threads, str(homes / "images"), *map(str, expected))
    assert done.stdout.splitlines() == ["('blue', 'green', 'red') (32, 40)"] * 2
    for folder_of, logits in expected.items():
        assert torch.equal(load_file(folder_of / "logits")["logits"], logits)
    assert len(network.recipe.entries) == 1
