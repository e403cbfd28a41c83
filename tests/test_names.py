"""The field's words: names that were private ones do not come back.

Earlier names live on in `lightning_modules/aliases.yaml` and in the kept runs alone.
"""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import PurePath

import pytest
import yaml

from tests.conftest import ROOT

EXEMPT = ("lightning_modules/aliases.yaml", "tests/")
# Not the name of anything.
FORMER = """
    Ground Rehearsal Sizing settling survivors Mismatch guilty give_up harms kept_floating
    Aim OutOfReach stand_in StandIn LossBounds UNSEEN take_turns outline_network
    Moments Answers Said Tally Facts Shipped silenced explaining conduct leads
    Compared targets_of standardised logit_standardisation WEIGHTY SPARE Subject Searched
    as_it_stands OneByOne
    """
# Everyday words that were used for a term: not what a class, function, argument or field, a
# module-level name or a key of a YAML file is called there.
FORMER_IN = {
    "compression": """
        settle stuck held suspects couple skipping knob share shares least most carry informed
        Given Form unfit sides fresh raised decide Clock survey
        """,
    "compression/pruning": "left label follow cells",
    "compression/pruning/channel_groups.py": "steps",
    "compression/step.py": "follow",
    "conf/compression": "ignore least most share shares skipping",
    "conf": "views fit standardised",
    "datamodules": "views fit",
    "lightning_modules": "Outline Session silence Job _together figures retire views",
    "lightning_modules/deployment": "opening ask collect told explained quiet",
    "lightning_modules/distillation": "views shares standardised",
    "lightning_modules/evaluation": "ask collect told",
    "lightning_modules/experiment": "enter origin told",
    "lightning_modules/networks": "survey kinds",
    "lightning_modules/runs": "claim discard point explained",
    "lightning_modules/search": "searched told",
    "lightning_modules/training": "origin told shares",
}


@cache
def files() -> tuple[str, ...]:
    """The code and the configuration that git knows of."""
    words = ["git", "ls-files", "*.py", "*.pyi", "conf/*.yaml"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("needs git and its checkout")
    known = done.stdout.split()
    return tuple(f for f in known if not f.startswith(EXEMPT) and (ROOT / f).is_file())


def defined(file: str) -> Iterator[tuple[str, int]]:
    """What a module or a YAML file gives a name to, and in which line."""
    text = (ROOT / file).read_text()
    if file.endswith(".yaml"):
        yield from _keys(yaml.compose(text))
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        if isinstance(node, ast.Module | ast.ClassDef):
            for line in node.body:
                targets = line.targets if isinstance(line, ast.Assign) else []
                targets = [line.target] if isinstance(line, ast.AnnAssign) else targets
                yield from ((t.id, line.lineno) for t in targets if isinstance(t, ast.Name))


def _keys(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key.value, key.start_mark.line + 1
            yield from _keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _keys(value)


def used(file: str) -> Iterator[tuple[str, int]]:
    """What a module uses: names, attributes, arguments and imports."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.arg, node.value.lineno
        elif isinstance(node, ast.alias):
            yield from ((name, node.lineno) for name in node.name.split("."))


def test_former_names_are_gone():
    former = set(FORMER.split())
    found = [file for file in files() if PurePath(file).stem in former]
    for file in files():
        named = [*defined(file), *(used(file) if not file.endswith(".yaml") else ())]
        found += [f"{file}:{line} {name}" for name, line in named if name.lstrip("_") in former]
    assert found == []


def test_everyday_words_are_no_terms():
    found = []
    for place, words in FORMER_IN.items():
        former = set(words.split())
        for file in files():
            if file != place and not file.startswith(f"{place}/"):
                continue
            if PurePath(file).stem in former:
                found.append(file)
            for name, line in defined(file):
                if name in former:
                    found.append(f"{file}:{line} {name}")
    assert found == []
