"""Looks into a .pte file before ExecuTorch's runtime does.

A .pte is a FlatBuffer: instructions, each the call of a kernel that the runtime has compiled in,
tensors, and blobs for delegates. Neither names a library or holds code of Python; but a delegate of
other makers may take a blob with compiled kernels, so only XNNPACK's, a graph and weights, is let
through.
"""

from pathlib import Path

from lightning_modules.deployment.suppress_output import silenced
from lightning_modules.errors import ConfigError

with silenced():
    from executorch.exir._serialize import _deserialize_pte_binary
    from executorch.exir.schema import Program, String

IDENTIFIER = b"ET12"  # of the FlatBuffer, at byte 4
DELEGATE = "XnnpackBackend"
FACTS = "model_diet"  # the method that gives the metadata


def vet(path: Path, content: bytes) -> Program:
    """The program of a .pte file, refused where it is none or wants another delegate.

    Args:
        path: for sentences.
        content: of the file.

    Raises:
        ConfigError: says what is wrong.
    """
    if content[4:8] != IDENTIFIER:
        raise ConfigError(f"{path} is no ExecuTorch program of this version (ET12).")
    try:
        program = _deserialize_pte_binary(content).program
        wanted = {delegate.id for plan in program.execution_plan for delegate in plan.delegates}
    except Exception as error:  # damage shows as an exception of any kind
        reason = " ".join((str(error) or type(error).__name__).split())[:120]
        raise ConfigError(f"{path} cannot be read as an ExecuTorch program: {reason}.") from error
    if foreign := sorted(wanted - {DELEGATE}):
        raise ConfigError(
            f"{path} wants the delegate {foreign[0]}, whose data might be code; it was not loaded: "
            "export the run again with scripts/export.py."
        )
    return program


def operators(program: Program) -> set[str]:
    """The kernels that a program calls outside of its delegates, such as `aten::avg_pool2d.out`."""
    called = [operator for plan in program.execution_plan for operator in plan.operators]
    return {".".join(filter(None, (entry.name, entry.overload))) for entry in called}


def metadata_text(program: Program) -> str:
    """What the method `model_diet` gives, read without running it; empty where there is none."""
    for plan in program.execution_plan:
        if plan.name == FACTS and plan.values and isinstance(plan.values[0].val, String):
            return plan.values[0].val.string_val
    return ""
