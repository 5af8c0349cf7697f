"""What this computer is, what it can do, and what it is doing now. Every room may import it.

device        device, dtype, compiler, free memory: facts, no decisions
accelerator   GPUs: peak rates by data sheet, TF32, waiting for what they compute
builds        our C++, compiled once for this processor and stored in the user's cache
jobs          compiling in the background: one job at a time, and only while something needs its result
activity      which of our processes are training on this computer now
threads       how long an idle thread spins before it sleeps
contention    whether other programs use the cores, and how long idle threads spin meanwhile
thread_count  the number of threads that is fastest at present
allocator     settings for glibc that keep the memory that a training step frees
memory        the peak memory of this process; returning freed memory to the system
atomic        files and folders that are complete or absent
"""
