"""The folder of this user's caches: images that were decoded, programs that were compiled."""

from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/ntkrun or ~/.cache/ntkrun on Linux, where the system keeps such things elsewhere."""
    return user_cache_path("ntkrun", appauthor=False)
