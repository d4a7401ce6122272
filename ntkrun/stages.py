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


def asked_for(arguments: list[str]) -> bool:
    """Whether a command line names one of these stages."""
    return any(f"stage={stage}" in arguments for stage in OWN)
