"""Optional packages: which extra of the project brings them, and the sentence where one lacks."""

from importlib.util import find_spec

from lightning_modules.errors import ConfigError


def require_extra(extra: str, package: str, *, what: str) -> None:
    """Refuses what needs a package that is not installed, before anything heavy is loaded.

    Args:
        extra: of this project's `pyproject.toml`, such as `slurm`.
        package: as imported, such as `hydra_plugins.hydra_submitit_launcher`.
        what: needs it, as the user typed it.

    Raises:
        ConfigError: with the command that installs it.
    """
    try:
        found = find_spec(package)
    except ModuleNotFoundError:  # of the package's parent
        found = None
    if found is None:
        raise ConfigError(
            f"{what} needs {package.rpartition('.')[2]}, which is not installed; install it with: "
            f"pip install 'model-diet[{extra}]' (here: pip install '.[{extra}]')."
        )
