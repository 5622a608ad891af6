#!/bin/bash
# Slurm: one job over one table as 1,000 independent tasks, each on one node with one GPU; no cluster between them.
#
#   sbatch slurm-array.sh                        a task that is stopped resumes where it was when it is submitted again
#   sbatch --array=3,17-20 slurm-array.sh        those that `vilt merge` names
#   sbatch --dependency=afterok:JOBID --wrap='vilt merge /shared/scores'
#
# To change: the array (as many tasks as SHARDS, from 0; %100 at a time), GPUs, cores, memory, time, and the paths, which
# all nodes share. In score.yaml: output.path: /shared/scores.
#SBATCH --job-name=vilt-score
#SBATCH --array=0-999%100
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=48G
#SBATCH --time=12:00:00
#SBATCH --signal=INT@120
#SBATCH --requeue

SHARDS=1000
exec srun vilt score /shared/score.yaml "input.shard=auto/$SHARDS" --json
