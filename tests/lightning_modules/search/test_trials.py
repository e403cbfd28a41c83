"""A study's trials as they are stored."""

from lightning_modules.search import ownership, trials


def test_attributes_have_the_names_that_they_have_in_studies_that_exist():
    names = (ownership.OWNER, trials.RETIRED, trials.VIOLATION, trials.FAILURE, trials.PRUNED)
    assert names == ("owner", "retired", "violation", "failure", "stopped after epoch")
    assert trials.METRICS == "figures"
