#!/bin/bash
# One experiment over the tasks of an array, each on the cores of one machine.
# Adapt the lines marked <<<, then: sbatch cpu.sh experiment=fig1 scale=paper
#
# Started again after a pre-emption or a time-out it goes on from the newest checkpoint; SIGUSR1 comes two minutes
# before the end, ntkrun saves and leaves with exit code 138, and the job puts itself back into the queue.
#SBATCH --job-name=ntkrun
#SBATCH --array=0-7                # <<< as many shards as the experiment has cells, or fewer
#SBATCH --cpus-per-task=8           # <<<
#SBATCH --mem=16G
#SBATCH --time=04:00:00            # <<<
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=ntkrun-%A_%a.log
set -uo pipefail
# <<< module load ...; source .venv/bin/activate; export NTKRUN_DATA_DIR=...
srun ntkrun "$@" shard="$SLURM_ARRAY_TASK_ID" shards="$SLURM_ARRAY_TASK_COUNT"
code=$?
if [ "$code" -eq 138 ]; then scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"; fi
exit "$code"
