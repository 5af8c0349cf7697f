#!/bin/bash
# homespun on a cluster with Slurm:  sbatch examples/slurm.sh book.txt runs/book [--set ...]
# One torchrun a node, one process a GPU. PROCESSES=4 before the command takes that many processes a node instead.
# Two minutes before the time is over, or when the job is preempted, all save; the job is queued again and goes on.
#SBATCH --job-name=homespun
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
text=$1 out=$2
shift 2
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun torchrun \
  --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="${PROCESSES:-gpu}" --max-restarts=3 \
  --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$head:${PORT:-29400}" \
  -m homespun train "$text" --out "$out" --resume "$@" &
srun=$!

stopped=
trap 'stopped=yes; kill -TERM $srun' TERM
status=0
wait $srun || status=$?
if [ -n "$stopped" ]; then
  wait $srun || true  # until the processes have saved
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
