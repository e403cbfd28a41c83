"""Whether W&B's server can be reached and knows who asks, found out in seconds; free of torch.

`wandb.init` itself tries for a minute and a half, and only once all that a training needs is there.
"""

import json
import os
import threading
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lightning_modules.errors import ConfigError

ONLINE = ("online", "shared", "run")  # modes in which W&B sends while training
DISABLED = "disabled"  # the mode in which it does nothing at all
SECONDS = 4.0  # that a server may take to answer; W&B's own answers in a tenth
QUERY = json.dumps({"query": "query { serverInfo { __typename } }"}).encode()


def check_key(mode: str) -> None:
    """Refuses to send to a server for which there is no key: W&B would ask for it, or fail later.

    Raises:
        ConfigError: with the ways to give one.
    """
    from wandb.errors import AuthenticationError
    from wandb.sdk.lib.wbauth import read_netrc_auth

    settings = _settings()  # W&B's own are read once in a process
    if os.environ.get("WANDB_API_KEY") or settings.api_key or settings.identity_token_file:
        return
    try:
        if read_netrc_auth(host=settings.base_url):  # where `wandb login` writes it
            return
    except AuthenticationError as error:
        raise ConfigError(f"logger.wandb.mode={mode}: {error}") from error
    raise ConfigError(
        f"logger.wandb.mode={mode} needs a key for {settings.base_url}, and there is none: run "
        "`wandb login`, set WANDB_API_KEY, or train with logger.wandb.mode=offline and send the "
        "run later."
    )


def unreachable() -> str | None:
    """Why W&B's server cannot be reached, in a few words; None where it answers, whatever it says.

    Takes at most `SECONDS`, also where each part of an answer is late.
    """
    url, found = str(_settings().base_url).rstrip("/"), [f"no answer within {SECONDS:g} s"]

    def ask() -> None:
        try:
            question = Request(f"{url}/graphql", QUERY, {"Content-Type": "application/json"})
            urlopen(question, timeout=SECONDS).close()
        except HTTPError:
            found[0] = ""  # it answers
        except Exception as error:  # of sockets, certificates, proxies, odd addresses
            reason = getattr(error, "reason", error)
            if not isinstance(reason, TimeoutError):
                found[0] = " ".join(str(getattr(reason, "strerror", None) or reason).split())
        else:
            found[0] = ""

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return f"{url}: {found[0]}" if found[0] else None


def _settings() -> Any:
    """Those of W&B, from the environment and the files that `wandb login` writes."""
    import wandb

    return wandb.setup().settings
