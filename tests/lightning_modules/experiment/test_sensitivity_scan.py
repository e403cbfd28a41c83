"""A scan of a finished run's network on its data."""

import pytest
import torch

from compression.factorization.tucker import Tucker
from compression.pruning.prune_weights import PruneWeights
from compression.recalibration import recalibrate
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation.metrics import evaluate
from lightning_modules.experiment.run_context import RunContext, scans_folder
from lightning_modules.experiment.sensitivity_scan import as_plain, require_treatments, scan_run
from lightning_modules.networks import build_network, load_network, save_network
from lightning_modules.runs.data import make_data


@pytest.fixture
def entered(homes, folder, compose_config):
    """The configuration of a step on a saved network, and the run."""
    run = homes / "run"

    def made(*overrides: str):
        cfg = compose_config(
            "data=image_folder", f"data.root={folder}", "data.image_size=32", "logger=none",
            "data.batch_size=12", "model.units=[1,1,1]", f"from_run={run}", *overrides,
        )  # fmt: skip
        if not run.is_dir():
            torch.manual_seed(0)
            network = build_network(cfg.model, num_classes=3, image_size=32).eval()
            network.class_names = ("blue", "green", "red")
            save_network(network, run)
        return cfg, run

    return made


def test_a_layer_by_hand(entered):
    layer = "body.features.stage1.unit1.compress_conv1"  # 15 x 6 x 1 x 1
    blind = "compression.svd.whiten=false"
    cfg, run = entered("+compression=svd", f"compression.svd.include=[{layer}]", blind)
    found, losses = scan_run(cfg, run, [0.4])
    (point,), (loss,) = found.points, losses
    data = make_data(cfg)
    data.prepare_data()
    network = load_network(run)
    weight = network.get_submodule(layer).weight
    left, values, right = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
    best = left[:, :2] * values[:2] @ right[:2]
    with torch.no_grad():
        weight.copy_(best[:, :, None, None])
    recalibrate(network, data.train_eval_batches())
    assert point.f1 == pytest.approx(evaluate(network, data.val_dataloader())["val/f1"])
    whole, images = load_network(run), torch.cat([x for x, _ in data.train_eval_batches()])
    with torch.no_grad():  # BatchNorm by these images; nothing else has another mode
        said, expected = (made.train()(images).log_softmax(1) for made in (network, whole))
    kl = torch.nn.functional.kl_div(said, expected, reduction="batchmean", log_target=True)
    assert loss.what == point.what and loss.loss == pytest.approx(kl.item(), rel=1e-3)
    plain = as_plain(found, losses, "svd")
    assert plain["points"][0]["kl"] == loss.loss
    assert plain["step"] == "svd" and plain["points"][0]["f1_lost"] == found.f1 - point.f1
    assert scan_run(cfg, run, [0.4]) == (found, losses)


def test_scans_are_of_one_data_set(entered):
    def folder_of(*overrides: str):
        cfg, run = entered("+compression=tucker", *overrides)
        data = make_data(cfg)
        data.prepare_data()
        return scans_folder(RunContext(cfg, data, run))

    known = folder_of()
    assert folder_of("trainer.max_epochs=3", "compression.tucker.ratio=0.3") == known
    for other in ("data.batch_size=6", "seed=3", "data.image_size=24", "sampling=balanced"):
        assert folder_of(other) != known


def test_refusals(entered):
    cfg, run = entered("+compression=tucker")
    with pytest.raises(ConfigError, match="finds no layer in .* cheaper at these ratios"):
        scan_run(cfg, run, [0.99])
    with pytest.raises(ConfigError, match="step=prune_weights does not treat layers one by one"):
        require_treatments(PruneWeights())
    require_treatments(Tucker())
