"""What `ntkrun --help` says: examples, the groups with their options, and the settings that are one of a few words.

Ours and not Hydra's, which takes half a second to find the groups.
"""

from ntkrun.cli.configs import groups, options
from ntkrun.experiments.figures import in_the_papers_order
from ntkrun.settings.runs import FreeSettings
from ntkrun.settings.schema import described

EXAMPLES = """\
ntkrun: train a wide network and its linearization in lockstep, as in arXiv 1902.06720

  ntkrun experiment=fig3                     run what is missing, draw the figure, judge the paper's claims
  ntkrun experiment=fig3 scale=smoke         sizes; auto: paper on an accelerator, else cpu
  ntkrun experiment=fig3 stage=report        redraw and judge again from the stored tables
  ntkrun experiment=fig4 scale=paper stage=plan device=h100      what the cells cost in FLOPs, bytes, memory, time
  ntkrun experiment=fig3 --cfg job           show the whole setting, in the paper's symbols
  ntkrun experiment=lockstep model=fc data=mnist optimizer=momentum loss=cross_entropy
  ntkrun experiment=lockstep model.path=my_module:MyNet model.args.depth=3 allow_custom=true      a Flax module of yours
  ntkrun experiment=lockstep 'model.width=[64,256,1024]' 'seed=[0,1,2]'      every combination is one cell
  ntkrun experiment=lockstep optimizer.schedule.name=cosine optimizer.schedule.final_factor=0.1      a falling rate
  ntkrun experiment=fig1 'networks={16:5,1024:1}'      a mapping is a rule: from this model.width on
  ntkrun experiment=all                      all figures; one that fails stops no other
  ntkrun experiment=fig1,fig3                these figures, likewise
  ntkrun experiment=all stage=check          judge all claims on what is stored: exit code 1 when one fails
  ntkrun experiment=fig3 stage=compare       its runs side by side: settings, claims, curves ('runs=[default,wider]': these)
  ntkrun experiment=fig3 scale=paper stage=bundle into=bundle      what a machine without network needs to run it
  ntkrun experiment=all scale=paper stage=merge from=cells.tar.gz  take in what it computed
"""
NOTES = """\
Any single value can be set: model.width=512 optimizer.learning_rate=.1 data.n_train=64 loss=cross_entropy ...
docs/settings.md describes every setting, with its unit and the paper's symbol.
Results go to <results_dir>/<scale>/<experiment>/<run>; ntkrun stage=list lists them.
MNIST and CIFAR-10 are fetched when a run needs them (data.download=false: never); NTKRUN_DATA_DIR points at prepared TFDS data.
Tab completes after  eval "$(ntkrun -sc install=bash)"  (or zsh; in fish: ntkrun -sc install=fish | source).
"""


def help_text() -> str:
    """All of it."""
    chosen = "\n".join(f"{group}: {', '.join(_options(group))}" for group in groups())
    lists = "\n".join(f"{name}: {', '.join(words)}" for name, words in closed_lists().items())
    return (
        f"{EXAMPLES}\nGroups (group=option):\n{chosen}\n\nSettings that are one of a few words (setting=word):\n{lists}\n\n"
        f"{NOTES}"
    )


def _options(group: str) -> list[str]:
    return in_the_papers_order(options(group)) if group == "experiment" else sorted(options(group))


def closed_lists() -> dict[str, tuple[str, ...]]:
    """Every setting that may be one of a few words, with these words; what groups choose from is no part of it."""
    words: dict[str, dict[str, None]] = {}
    for one in described(FreeSettings):
        group = one.path[0] in groups() and one.path[1:] in ((), ("name",))
        if one.is_closed and not group:
            words.setdefault(".".join(one.path), {}).update(dict.fromkeys(one.choices))
    return {name: tuple(found) for name, found in words.items()}
