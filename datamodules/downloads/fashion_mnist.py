"""Fashion-MNIST: 70,000 grey pictures of clothing, in four files (Xiao, Rasul, Vollgraf 2017)."""

import hashlib
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

from datamodules.downloads.failure import Failure
from datamodules.downloads.fetching import Target
from datamodules.downloads.limits import Limits
from datamodules.downloads.many_files import fetch_all
from datamodules.downloads.root_folder import Report, sole_writer, write_missing

# The address and the checksums of the publication's page.
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


def download_fashion_mnist(
    root: Path, *, url: str = URL, verify: bool = False, limits: Limits
) -> Report:
    """Fetch those of the four files that are not there yet; they stay packed.

    Args:
        root: the folder to fill.
        url: of the folder that holds them.
        verify: compare the checksums of the files that are there too.
        limits: of tries, seconds, bytes.

    Raises:
        DataError: the disk cannot be written.
    """
    with sole_writer(root):
        lacking = [
            Target(urljoin(f"{url.rstrip('/')}/", name), root / name, partial(_check, md5=md5))
            for name, md5 in MD5.items()
            if not _is_there(root / name, md5, verify=verify)
        ]
        missing = fetch_all(lacking, limits=limits, job="fashion_mnist")
        write_missing(root, missing)
    return Report(
        root=root,
        total=len(MD5),
        fetched=len(lacking) - len(missing),
        missing=missing,
        what="files",
    )


def _check(path: Path, *, md5: str) -> None:
    found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if found != md5:
        raise Failure(f"its checksum is {found} and not the published {md5}")


def _is_there(path: Path, md5: str, *, verify: bool) -> bool:
    if not path.is_file() or not verify:
        return path.is_file()
    try:
        _check(path, md5=md5)
    except Failure:
        return False
    return True
