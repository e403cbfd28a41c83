"""Lists and removes caches: `python scripts/clean_cache.py [NAME...] [--older-than DAYS]`."""

import os
from collections.abc import Sequence
from pathlib import Path

from datamodules.cache import StoredCache, stored_caches
from datamodules.screen import ScreenTable
from lightning_modules.config import OwnKey, ScriptParser, run_script, table_console
from lightning_modules.errors import ConfigError


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line; without names and flags it only lists."""
    folder = os.environ.get("MODEL_DIET_CACHE", ".cache")  # as conf/config.yaml says it
    parser = ScriptParser(
        description="Lists the decoded images and stored predictions that runs share, and removes "
        "those that are named or long unused. What is needed again is made again.",
        keys={"cache_dir": OwnKey("DIR", "where the caches lie", folder)},
        overrides=False,
        usage="[NAME...] [cache_dir=DIR] [--older-than DAYS] [--all]",
    )
    parser.add_argument("--older-than", type=float, metavar="DAYS", help="remove those unused for")
    parser.add_argument("--all", action="store_true", help="remove every cache")
    typed = parser.parse(arguments)
    flags, cache_dir = typed.flags, Path(typed.own["cache_dir"])
    caches = stored_caches(cache_dir)
    if not caches:
        print(f"{cache_dir} holds no caches.")
        return
    chosen = _chosen(caches, typed.names, older_than=flags.older_than, every=flags.all)
    print_table(caches, chosen)
    for cache in chosen:
        cache.remove()
    freed = sum(cache.bytes for cache in chosen)
    print(f"removed {len(chosen)} of {len(caches)} caches in {cache_dir}, {freed / 1e6:,.1f} MB")


def _chosen(
    caches: list[StoredCache], names: list[str], *, older_than: float | None, every: bool
) -> list[StoredCache]:
    known = {cache.name for cache in caches}
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no cache {name}; there are: {', '.join(sorted(known))}.")
    old = float("inf") if older_than is None else older_than
    return [c for c in caches if every or c.name in names or c.idle_days >= old]


def print_table(caches: list[StoredCache], chosen: list[StoredCache]) -> None:
    """Prints one row a cache, the longest unused first."""
    table = ScreenTable()
    table.add_column("cache")
    table.add_column("MB", number=True)
    table.add_column("days unused", number=True)
    table.add_column("")
    for cache in caches:
        state = "removed" if cache in chosen else "" if cache.whole else "killed build"
        table.add_row(cache.name, f"{cache.bytes / 1e6:,.1f}", f"{cache.idle_days:.1f}", state)
    table.print(table_console())


if __name__ == "__main__":
    run_script(main)
