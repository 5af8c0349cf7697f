"""Several processes that compute one run: on one computer, or on many.

place        what the environment says: which of the processes this one is
network      which network interface reaches the others
meeting      the processes find each other, and compare what has to be equal
heartbeat    notices a computer that no longer answers
join         the world of this process, of one or of several
processes    the World of a run: sums of gradients, agreed decisions
launch       `--processes N`: starts them on this computer, and again when one is lost
"""
