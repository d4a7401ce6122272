"""Run the command line as on an accelerator, on a CPU: every choice that asks which backend there is takes its other way.

What is seen so is that this way runs, how many programs it compiles, and that its numbers are the CPU's to rounding; not
what a GPU does with the programs (scripts/compile_for.py compiles them for one).
"""

import jax

jax.default_backend = lambda: "gpu"  # before anything of ntkrun is traced

if __name__ == "__main__":
    from ntkrun.cli.main import main

    main()
