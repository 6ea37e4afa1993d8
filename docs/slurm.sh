#!/bin/bash
# Trains on 2 machines of 4 GPUs: sbatch docs/slurm.sh RECIPE KIND:PATH OUT [OPTIONS OF fassd train]
# For example: sbatch docs/slurm.sh cityscapes cityscapes:/data/cityscapes /runs/first --network fassd-net
# Submit it again to resume a stopped run. Slurm sends SIGTERM before the time limit; the state is saved then. All
# machines must see the data and OUT under the same path.
#SBATCH --job-name=fassd
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@60
#SBATCH --requeue
set -euo pipefail
recipe=$1 data=$2 out=$3
shift 3

if compgen -G "$out/states/state-*.safetensors" > /dev/null; then
    what=(train --resume --out "$out")
else
    what=(train "$recipe" --data "$data" --out "$out" "$@")
fi
export OMP_NUM_THREADS=4
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# When a machine fails, the others are ended.
srun --kill-on-bad-exit=1 torchrun \
    --nnodes "$SLURM_NNODES" --nproc-per-node 4 \
    --rdzv-backend c10d --rdzv-endpoint "$head:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m fassd "${what[@]}" --device cuda --workers 6
