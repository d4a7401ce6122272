#!/bin/bash
# Several hosts: one shard each, on all of the host's own GPUs.  Cells need nothing from each other: no jax.distributed.
# Adapt the lines marked <<<, then: sbatch hosts.sh experiment=fig1 scale=paper
#
# Started again after a pre-emption or a time-out it goes on from the newest checkpoint; SIGUSR1 comes two minutes
# before the end, ntkrun saves and leaves with exit code 138, and the job puts itself back into the queue.
#SBATCH --job-name=ntkrun
#SBATCH --nodes=2                  # <<<
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:4                # <<<
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00            # <<<
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=ntkrun-%A_%a.log
set -uo pipefail
# <<< module load ...; source .venv/bin/activate; export NTKRUN_DATA_DIR=...
# <<< all hosts on one cell at a time instead (the first task keeps the checkpoints, and needs the results folder):
# srun ntkrun "$@" distributed=true devices=all
srun --kill-on-bad-exit=0 bash -c 'ntkrun "$@" devices=all shard="$SLURM_PROCID" shards="$SLURM_NTASKS"' ntkrun "$@"
code=$?
if [ "$code" -eq 138 ]; then scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"; fi
exit "$code"
