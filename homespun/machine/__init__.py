"""What this computer is, what it can do and what it is doing now. Open to every room.

device        device, dtype, compiler, free memory: facts, no decisions
builds        C++ of ours, compiled once for this processor, kept in the user's cache
jobs          compiling in the background: one job at a time, and only while it has a purpose
activity      which processes of ours train now, on this computer
threads       how long an idle thread spins before it sleeps
contention    whether other programs want the cores, and how long idle threads spin meanwhile
thread_count  the number of threads that is fastest at present
allocator     glibc keeps what a training step frees
memory        the peak of this process; freed memory back to the system
atomic        files and folders that are whole or absent
"""
