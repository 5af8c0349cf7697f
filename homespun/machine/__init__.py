"""What this computer is and what it can do. Open to every room.

device      device, dtype, compiler, free memory: facts, no decisions
builds      C++ of ours, compiled once for this processor, kept in the user's cache
threads     how long an idle thread spins before it sleeps
allocator   glibc keeps what a training step frees
memory      the peak of this process; freed memory back to the system
atomic      files and folders that are whole or absent
"""
