"""The stages that move work and results between machines, and the settings that belong to one of them alone."""

# stage -> its own settings, as they are typed; null everywhere else
OWN = {
    "bundle": ("into", "target", "target_python", "target_platform", "limit_mb"),
    "merge": ("from",),
    "compare": ("other",),
}
OF_ONE_STAGE = frozenset(name for names in OWN.values() for name in names)
# stage -> what it cannot do without
NEEDED = {
    "bundle": "stage=bundle writes a new folder: name it, into=bundle",
    "merge": "stage=merge takes results from a folder or a .tar.gz: name it, from=results-elsewhere",
    "compare": "stage=compare holds results_dir against another folder or .tar.gz: name it, other=results-elsewhere",
}


OF_A_TIME = ("minutes", "order", "jobs")


def has_time(arguments: list[str]) -> bool:
    """Whether a command line limits a run to a number of minutes."""
    return any(item.startswith("minutes=") and item != "minutes=null" for item in arguments)


def drawing(arguments: list[str]) -> list[str]:
    """The command line that draws and judges what one with a time has computed."""
    return [item for item in arguments if item.partition("=")[0] not in (*OF_A_TIME, "stage")] + ["stage=report"]


def asked_for(arguments: list[str]) -> bool:
    """Whether a command line names one of these stages."""
    return any(f"stage={stage}" in arguments for stage in OWN)
