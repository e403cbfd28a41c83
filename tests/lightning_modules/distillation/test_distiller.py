"""What a Distiller trains, stores, costs in memory, and how its losses are put together."""

import copy
import weakref

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, TensorDataset

from lightning_modules.distillation.attention import Attention
from lightning_modules.distillation.distillation import Distillation
from lightning_modules.distillation.distiller import Distiller
from lightning_modules.distillation.feature_pairs import FeaturePairs
from lightning_modules.distillation.hints import Hints
from lightning_modules.distillation.logit_term import SoftTargets
from lightning_modules.errors import ConfigError
from lightning_modules.training.classifier import Classifier

IMAGES = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8)
LABELS = torch.randint(0, 3, (16,))
CLASSIFIER = {
    "loss": nn.CrossEntropyLoss(),
    "optimizer": lambda module: torch.optim.SGD(module.parameters(), lr=0.1),
    "scheduler": lambda optimizer, _: {"scheduler": torch.optim.lr_scheduler.ConstantLR(optimizer)},
    "num_classes": 3,
}


def make_distiller(network, teachers, *, terms=None, kind=Distiller, **settings):
    terms = terms or {"soft_targets": SoftTargets(weight=1.0)}
    defaults = {"temperature": 4.0, "alpha": 0.25}
    distillation = Distillation(**{**defaults, **settings}, terms=terms)
    pairs = FeaturePairs(distillation, teachers, network, image_size=(16, 16), seed=(0, 1))
    return kind(network, teachers=teachers, distillation=distillation, pairs=pairs, **CLASSIFIER)


def fit(module):
    batches = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=8)
    pl.Trainer(
        max_epochs=2, logger=False, enable_checkpointing=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(module, batches)  # fmt: skip


def test_alpha_mixes_label_loss_and_the_mean_of_all_teachers(make_network, make_teacher):
    teachers = [make_teacher("a", 1, weight=3.0), make_teacher("b", 2, temperature=2.0)]
    network = make_network()
    found = make_distiller(network, teachers).objective(IMAGES, LABELS)
    a, b = (torch.softmax(t(IMAGES) / (t.temperature or 4.0), 1) for t in teachers)
    targets, student = 0.75 * a + 0.25 * b, torch.log_softmax(network(IMAGES) / 4.0, 1)
    soft = 16 * (targets * (targets.log() - student)).sum(1).mean()
    hard = nn.functional.cross_entropy(network(IMAGES), LABELS)
    torch.testing.assert_close(found, 0.75 * hard + 0.25 * soft)


def test_terms_combine_by_their_weights_and_projections_train(make_network, make_teacher):
    pairs = {"1": "1", "3": "3"}
    teacher = make_teacher("a", features=pairs)
    terms = {"soft": SoftTargets(weight=2.0), "hints": Hints(weight=3.0, features=["3"])}
    network = make_network()
    module = make_distiller(network, [teacher], terms=terms)
    found = module.objective(IMAGES, LABELS)
    alone = make_distiller(network, [teacher], terms={"soft": SoftTargets(weight=1.0)}, alpha=1.0)
    soft = alone.objective(IMAGES, LABELS)
    (hint,) = module.pairs.comparisons
    student, theirs = network[:4](IMAGES), teacher.network[:4](IMAGES)
    hints = ((hint.projection(student) - theirs) ** 2).mean() / 2
    hard = nn.functional.cross_entropy(network(IMAGES), LABELS)
    torch.testing.assert_close(found, 0.75 * hard + 0.25 * (2 * soft + 3 * hints))

    before = hint.projection.weight.clone()
    state = {key: value.clone() for key, value in teacher.network.state_dict().items()}
    fit(module)
    assert not torch.equal(hint.projection.weight, before)
    assert all(torch.equal(teacher.network.state_dict()[key], state[key]) for key in state)
    assert {key.split(".")[0] for key in module.state_dict()} == {"network", "pairs"}
    trained = {id(p) for group in module.optimizers().param_groups for p in group["params"]}
    assert trained == {id(p) for p in (*network.parameters(), *hint.parameters())}


def test_teachers_stay_out_of_checkpoint_and_optimizer(make_network, make_teacher):
    network = make_network()
    module = make_distiller(network, [make_teacher()])
    assert all(key.startswith("network.") for key in module.state_dict())
    assert {id(p) for p in module.parameters()} == {id(p) for p in network.parameters()}


def test_a_copy_shares_the_teachers(make_network, make_teacher):
    module = make_distiller(make_network(), [make_teacher()])
    twin = copy.deepcopy(module)
    assert twin._teachers == module._teachers
    assert twin.network is not module.network


def test_projections_begin_the_same_whatever_was_drawn_before(make_network, make_teacher):
    teachers = [make_teacher("a", features={"1": "1"})]
    terms = {"hints": Hints(weight=1.0)}
    first = make_distiller(make_network(), teachers, terms=terms).pairs.state_dict()
    network = make_network()
    torch.manual_seed(77)
    drawn = torch.get_rng_state()
    second = make_distiller(network, teachers, terms=terms).pairs.state_dict()
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_feature_term_is_shared_among_the_teachers_that_have_pairs(make_network, make_teacher):
    network = make_network()
    looked = make_teacher("a", 1, features={"3": "3"}, weight=2.0)
    terms = {"attention": Attention(weight=1.0)}
    one = make_distiller(network, [looked], terms=terms, alpha=1.0)
    two = make_distiller(network, [looked, make_teacher("b", 2)], terms=terms, alpha=1.0)
    torch.testing.assert_close(one.objective(IMAGES, LABELS), two.objective(IMAGES, LABELS))
    summed = make_distiller(network, [looked], terms=terms, alpha=1.0, aggregation="sum_of_losses")
    torch.testing.assert_close(summed.objective(IMAGES, LABELS), 2 * one.objective(IMAGES, LABELS))


def test_alpha_and_temperature_follow_the_epochs(make_network, make_teacher):
    network, teacher = make_network(), make_teacher()
    ends = {"schedule": "linear", "from": 1.0, "to": 0.0}
    module = make_distiller(network, [teacher], alpha=ends)
    first = module.objective(IMAGES, LABELS)
    module.set_epoch(4, 5)
    last = module.objective(IMAGES, LABELS)
    torch.testing.assert_close(last, nn.functional.cross_entropy(network(IMAGES), LABELS))
    soft = make_distiller(network, [teacher], alpha=1.0).objective(IMAGES, LABELS)
    torch.testing.assert_close(first, soft)


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ({"9": "3"}, r"teacher.a.features, student: The network has no module '9'; the nearest"),
        ({"3": "conv"}, r"teacher.a.features, teacher: The network has no module 'conv'"),
        (
            {"3": "5"},
            r"hints cannot compare teacher.a.features \{3: 5\}: .*N x 16 x 8 x 8.*N x 24:",
        ),
    ],
)
def test_pairs_that_cannot_be_compared(make_network, make_teacher, features, sentence):
    teacher = make_teacher("a", features=features)
    with pytest.raises(ConfigError, match=sentence) as refusal:
        make_distiller(make_network(), [teacher], terms={"hints": Hints(weight=1.0)})
    assert "\n" not in str(refusal.value)


class LiveBytes(TorchDispatchMode):
    """The largest sum of bytes of all tensors made inside `with` and still alive."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage):
        key = storage._cdata
        if key not in self.known:
            self.known.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._release, key, storage.nbytes())

    def _release(self, key, size):
        self.known.discard(key)
        self.now -= size


def peak(action):
    with LiveBytes() as live:
        action()
    return live.peak


def test_memory_is_that_of_the_student_and_one_teachers_activations(make_network, make_teacher):
    network = make_network()
    plain = Classifier(network, **CLASSIFIER)
    student = peak(lambda: plain.objective(IMAGES, LABELS).backward())
    teachers = [make_teacher(str(seed), seed, width=40) for seed in range(3)]
    one = peak(lambda: teachers[0](IMAGES))
    module = make_distiller(network, teachers)
    together = peak(lambda: module.objective(IMAGES, LABELS).backward())
    assert student > 100_000
    assert one > student  # so that three at once, or one beside the student, would show
    assert together - student <= one
    assert together < 1.1 * max(one, student)


def test_a_fit_moves_along_its_schedules(make_network, make_teacher):
    seen = []

    class Watched(Distiller):
        def set_epoch(self, epoch, epochs):
            seen.append((epoch, epochs))
            super().set_epoch(epoch, epochs)

    module = make_distiller(make_network(), [make_teacher()], kind=Watched)
    fit(module)
    assert seen == [(0, 1), (0, 2), (1, 2)]


def test_feature_losses_alone_need_a_teacher_with_pairs(make_network, make_teacher):
    terms = {"hints": Hints(weight=1.0)}
    with pytest.raises(ConfigError, match=r"hints compares modules, .* \(a, b\) none pairs any"):
        make_distiller(make_network(), [make_teacher("a"), make_teacher("b", 2)], terms=terms)
