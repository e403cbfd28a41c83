"""Lists and removes caches: `python scripts/clean_cache.py [NAME...] [--older-than DAYS]`."""

import argparse
import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from datamodules.cache.stored_caches import StoredCache, stored_caches
from lightning_modules.config.command_line import report_errors
from lightning_modules.errors import ConfigError


def main() -> None:
    """Parses the command line; without names and flags it only lists."""
    parser = argparse.ArgumentParser(
        description="Lists the decoded images and stored predictions that runs share, and removes "
        "those that are named or long unused. What is needed again is made again.",
        usage="%(prog)s [NAME...] [cache_dir=DIR] [--older-than DAYS] [--all]",
    )
    parser.add_argument("words", nargs="*", metavar="NAME | cache_dir=DIR", help="caches to remove")
    parser.add_argument("--older-than", type=float, metavar="DAYS", help="remove those unused for")
    parser.add_argument("--all", action="store_true", help="remove every cache")
    arguments = parser.parse_args()
    cache_dir, names = _take_cache_dir(arguments.words)
    caches = stored_caches(cache_dir)
    if not caches:
        print(f"{cache_dir} holds no caches.")
        return
    chosen = _chosen(caches, names, older_than=arguments.older_than, every=arguments.all)
    print_table(caches, chosen)
    for cache in chosen:
        cache.remove()
    freed = sum(cache.bytes for cache in chosen)
    print(f"removed {len(chosen)} of {len(caches)} caches in {cache_dir}, {freed / 1e6:,.1f} MB")


def _take_cache_dir(words: list[str]) -> tuple[Path, list[str]]:
    cache_dir = os.environ.get("MODEL_DIET_CACHE", ".cache")  # as conf/config.yaml says it
    names = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key != "cache_dir":
            raise ConfigError(f"{word} is no key of this script; there is cache_dir=DIR.")
        if equals:
            cache_dir = value
        else:
            names.append(word)
    return Path(cache_dir), names


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
    table = Table()
    table.add_column("cache", overflow="fold")
    table.add_column("MB", justify="right")
    table.add_column("days unused", justify="right")
    table.add_column("")
    for cache in caches:
        state = "removed" if cache in chosen else "" if cache.whole else "killed build"
        table.add_row(cache.name, f"{cache.bytes / 1e6:,.1f}", f"{cache.idle_days:.1f}", state)
    Console().print(table)


if __name__ == "__main__":
    with report_errors():
        main()
