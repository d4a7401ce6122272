"""ntkrun -sc: what a shell sources so that Tab completes settings, and what it then asks at every Tab.

`install=SHELL` prints a function for the shell, which calls `ntkrun -sc query=SHELL` with the line up to the cursor in
COMP_LINE.  Hydra's own answer needs a second and knows no closed list (`stage=` would complete to its present value alone),
and its function for bash changes COMP_WORDBREAKS for all other commands.
"""

import os

from ntkrun.cli.messages import complain

FLAGS = {"-sc", "--shell-completion"}

# bash replaces what follows the last of COMP_WORDBREAKS, among which "=" is unless the user has taken it out.
BASH = r"""_ntkrun() {
    local IFS=$'\n' line="${COMP_LINE:0:$COMP_POINT}"
    local word="${line##*[[:space:]]}"
    COMPREPLY=($(COMP_LINE="$line" "${1/#\~/$HOME}" -sc query=bash 2>/dev/null))
    if [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#*=}")
    fi
}
complete -o nospace -F _ntkrun ntkrun
"""
ZSH = r"""(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_ntkrun() {
    local -a found
    local none=1
    found=(${(f)"$(COMP_LINE=$LBUFFER ${~words[1]} -sc query=zsh 2>/dev/null)"})
    compadd -- ${found:#*[=./]} && none=0
    compadd -S '' -- ${(M)found:#*[=./]} && none=0
    return none
}
compdef _ntkrun ntkrun
"""
FISH = r"""function _ntkrun
    set -lx COMP_LINE (commandline -cp)
    set -l command (string replace -r '^~' "$HOME" -- (commandline -opc)[1])
    $command -sc query=fish 2>/dev/null
end
complete -c ntkrun -f -a '(_ntkrun)'
"""
INSTALL = {"bash": BASH, "zsh": ZSH, "fish": FISH}
UNINSTALL = {
    "bash": "complete -r ntkrun\nunset -f _ntkrun\n",
    "zsh": "compdef -d ntkrun\nunfunction _ntkrun\n",
    "fish": "complete -e -c ntkrun\nfunctions -e _ntkrun\n",
}


def shell_completion(arguments: list[str]) -> int:
    """Print what is asked for; the exit code."""
    verb, _, shell = arguments[-1].partition("=")
    if len(arguments) != 2 or arguments[0] not in FLAGS or shell not in INSTALL:
        return complain(f"-sc takes install=SHELL or uninstall=SHELL alone, SHELL one of {', '.join(INSTALL)}")
    if verb in ("install", "uninstall"):
        print({"install": INSTALL, "uninstall": UNINSTALL}[verb][shell], end="")
        return 0
    if verb != "query" or "COMP_LINE" not in os.environ:
        return complain(f'-sc {arguments[1]} is not for typing: eval "$(ntkrun -sc install=bash)" makes Tab complete')
    from ntkrun.cli.candidates import candidates  # what prints a function for a shell start-up imports little

    for word in candidates(os.environ["COMP_LINE"]):
        # the other shells add the space themselves
        print(f"{word} " if shell == "bash" and word[-1] not in "=./" else word)
    return 0
